"""Measures training as Trainer does it beside bare Keras on tensors that are in memory already.

Ours is ``trainer.run.run_fn``, whole: files of transformed examples, its input, ``fit`` with all
callbacks, among them those that record each step. The peers have the same model and batches of the
same size: Keras's ``fit`` on tensors without a callback, and, as the limit, the model's compiled
step in a loop over batches that were cut before. Ours holds the examples in memory (as it does up
to 1 GiB), streams them from the files, or streams them from its cache of parsed examples.

An epoch of ours and one of each peer take turns in one process, so that a machine that slows down
slows all; quoted are medians of the turns' ratios. The first turn, in which TensorFlow compiles, is
left out. CPU seconds of all threads stand beside those on the wall: other work on the machine
disturbs them least, and they count what runs beside the steps on another core, too.

Run ``python -m benchmarks.training``; ``--rows 20000 --epochs 3`` for a quick look. Results go to
``benchmarks/results/training.json`` and ``.md``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import report, training_examples

INPUTS = ("memory", "cache", "stream")
BATCH = 256
OURS, FIT, STEPS = "ours", "fit on tensors", "steps alone"
Way = Callable[[], object]


def arguments(folder: Path, kind: str, epochs: int) -> types.SimpleNamespace:
    """What ``run_fn`` is called with."""
    from components.distributed_trainer.accessor import TF_EXAMPLE, data_accessor

    training = {"strategy": "none", "batch_size": BATCH, "epochs": epochs, "cache": kind == "cache"}
    return types.SimpleNamespace(
        custom_config=training_examples.custom_config(**training, early_stopping_patience=epochs),
        hyperparameters=None,
        transform_graph_path=str(folder / "graph"),
        data_accessor=data_accessor(TF_EXAMPLE),
        train_files=[str(folder / "train/*")],
        eval_files=[str(folder / "eval/*")],
        serving_model_dir=str(folder / kind / "model"),
        model_run_dir=str(folder / kind / "run"),
        train_steps=None,
        eval_steps=None,
    )


def peers(fn_args: types.SimpleNamespace) -> dict[str, Way]:
    """An epoch of each peer."""
    import tensorflow as tf
    import tensorflow_transform as tft

    from trainer import examples, features, run
    from trainer.files import Files
    from trainer.model import Ensemble, Target, build, compile_model

    config = run.Config.read(fn_args.custom_config)
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    schema = transform_output.transformed_metadata.schema
    files = Files(fn_args.train_files, fn_args.data_accessor, schema)
    train = examples.read(files, config, 1 << 40)
    target = Target.measure(config.task, train.labels, 0, True)

    def made() -> Ensemble:
        model = build(config, run.category_sizes(config, transform_output), target)
        compile_model(model, config, 10_000)
        return model

    assert train.held is not None
    columns = {name: values for name, values in train.held.items() if name != features.LABEL}
    labels = tf.constant(train.labels[:, None])
    weights = tf.constant(target.weights[train.labels.astype(int)])
    whole = (columns, labels, weights)
    batches = [
        tf.nest.map_structure(lambda values, i=i: values[i : i + BATCH], whole)
        for i in range(0, len(train), BATCH)
    ]
    fitted, alone = made(), made()
    step = tf.function(alone.train_step, reduce_retracing=True)

    def steps() -> float:
        for batch in batches:
            told = step(batch)
        return float(told["loss"])

    return {
        FIT: lambda: fitted.fit(columns, labels, BATCH, sample_weight=weights, verbose=0),
        STEPS: steps,
    }


def measure(folder: Path, kind: str, epochs: int) -> dict[str, Any]:
    """Trains in this process, the peers between the epochs.

    Returns:
      ``turns``: by way, [wall, CPU] seconds of each epoch; ``waits``: of ours, the total seconds in
      which steps waited for their input.
    """
    from trainer import run

    fn_args = arguments(folder, kind, epochs)
    ways = peers(fn_args)
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in (OURS, *ways)}

    class Beside(run.Progress):
        """The first callback: nothing of an epoch's training lies outside of its clock."""

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            super().on_epoch_begin(epoch, logs)
            self._now = clock()

        def on_test_begin(self, logs: Any = None) -> None:
            turns[OURS].append(since(self._now))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            super().on_epoch_end(epoch, logs)
            for name, way in ways.items():
                now = clock()
                way()
                turns[name].append(since(now))

    run.Progress = Beside  # type: ignore[misc]
    if kind != "memory":
        run.MEMORY = 0
    run.run_fn(fn_args)
    told = json.loads(Path(fn_args.model_run_dir, "training.json").read_text(encoding="utf-8"))
    waits = [epoch["input_wait_seconds"]["total"] for epoch in told["epochs"]]
    return {"turns": {name: found[1:] for name, found in turns.items()}, "waits": waits[1:]}


def clock() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def since(then: tuple[float, float]) -> tuple[float, float]:
    wall, cpu = clock()
    return wall - then[0], cpu - then[1]


def summary(found: dict[str, Any], rows: int) -> dict[str, Any]:
    """The figures of one kind of input."""
    turns, waits = found["turns"], found["waits"]
    ours = turns[OURS]
    told: dict[str, Any] = {}
    for name, theirs in turns.items():
        told[name] = {
            "examples_per_second": rows / statistics.median(wall for wall, _ in theirs),
            "cpu_us_per_example": 1e6 / rows * statistics.median(cpu for _, cpu in theirs),
        }
        for which, unit in enumerate(("wall", "cpu")):
            ratios = [b[which] / a[which] for a, b in zip(ours, theirs, strict=True)]
            told[name][f"ours_beside_it_{unit}"] = statistics.median(ratios)
    shares = [wait / wall for wait, (wall, _) in zip(waits, ours, strict=True)]
    return {"ways": told, "waiting_for_input": statistics.median(shares), "turns": len(ours)}


def as_markdown(results: dict[str, Any]) -> str:
    lines = [
        "| input | way | examples/s | CPU µs an example | ours beside it, wall | CPU |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for kind, found in results["inputs"].items():
        for name, told in found["ways"].items():
            figures = f"{told['examples_per_second']:,.0f} | {told['cpu_us_per_example']:.1f}"
            if name == OURS:
                wait = f"(waits {found['waiting_for_input']:.0%} of it)"
                lines.append(f"| {kind} | ours {wait} | {figures} | | |")
                continue
            wall, cpu = told["ours_beside_it_wall"], told["ours_beside_it_cpu"]
            lines.append(f"| {kind} | {name} | {figures} | {wall:.2f} | {cpu:.2f} |")
    machine = results["machine"]
    turns = min(found["turns"] for found in results["inputs"].values())
    lines += [
        "",
        f"{results['rows']:,} examples in batches of {BATCH}; medians of {turns} turns. "
        f"{machine['cores']} cores that do other work, too (load {results['load'][0]:.1f} before, "
        f"{results['load'][1]:.1f} after): the CPU's column is the one to go by. "
        f"{machine['platform']}, Python {machine['python']}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures each kind of input in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--epochs", type=int, default=21, help="the first is not counted")
    parser.add_argument("--output", type=Path, default=report.RESULTS, help="where they go")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        folder, kind = options.measure
        print(json.dumps(measure(Path(folder), kind, options.epochs)))
        return
    before = os.getloadavg()[1]
    inputs = {}
    with tempfile.TemporaryDirectory() as folder:
        training_examples.write(Path(folder), options.rows)
        for kind in INPUTS:
            print(f"input: {kind}", file=sys.stderr, flush=True)
            command = [sys.executable, "-m", "benchmarks.training", "--measure", folder, kind]
            command += ["--epochs", str(options.epochs)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            inputs[kind] = summary(json.loads(done.stdout.splitlines()[-1]), options.rows)
    results = {
        "machine": report.machine(),
        "rows": options.rows,
        "batch": BATCH,
        "load": [before, os.getloadavg()[1]],
        "inputs": inputs,
    }
    report.write(options.output, "training", results, as_markdown(results))


if __name__ == "__main__":
    main()
