"""What a training step costs with more loopback workers, and what of it is synchronisation.

The same global batch, once without a strategy and then shared by 1, 2 and 4 workers, of a model as
small as the pipeline's and of a large one. Run as ``python -m benchmarks.distributed``.
"""

import argparse
import json
import pathlib
import tempfile
import time
from typing import Any

import numpy as np

from benchmarks import report
from components.distributed_trainer.launch.job import Job
from components.distributed_trainer.launch.loopback import Loopback
from components.distributed_trainer.settings import LoopbackWorkers

COLUMNS = 64
MODELS = {"64, 32": (64, 32), "1024, 1024": (1024, 1024)}
BATCH = 1024
WARM = 20


def run_fn(fn_args: Any) -> None:
    """What each worker runs: the seconds a step, by model, go to ``steps.json``."""
    import tensorflow as tf
    import tf_keras as keras

    class Plain(keras.Sequential):
        @tf.autograph.experimental.do_not_convert
        def train_step(self, data: Any) -> Any:
            """Keras's: AutoGraph would rewrite all of tf_keras, for ten seconds."""
            return super().train_step(data)

    config = fn_args.custom_config
    if config["alone"]:
        strategy = tf.distribute.get_strategy()
    else:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    random = np.random.default_rng(1)
    columns = random.normal(size=(8 * BATCH, COLUMNS)).astype(np.float32)
    labels = (columns[:, :1] > 0).astype(np.float32)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    batches = tf.data.Dataset.from_tensor_slices((columns, labels)).batch(BATCH).cache().repeat()
    batches = batches.with_options(options)
    told = {}
    for name, widths in MODELS.items():
        with strategy.scope():
            layers = [keras.layers.Dense(width, "relu") for width in widths]
            model = Plain([*layers, keras.layers.Dense(1)])
            model.compile(
                keras.optimizers.Adam(), keras.losses.BinaryCrossentropy(from_logits=True)
            )
        model.fit(batches, steps_per_epoch=WARM, verbose=0)
        rounds = []
        for _ in range(3):
            began = time.perf_counter()
            model.fit(batches, steps_per_epoch=config["steps"], verbose=0)
            rounds.append((time.perf_counter() - began) / config["steps"])
        told[name] = {"seconds": min(rounds), "parameters": model.count_params()}
    folder = pathlib.Path(fn_args.model_run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "steps.json").write_text(json.dumps(told), encoding="utf-8")


def measure(folder: pathlib.Path, workers: int, steps: int) -> dict[str, Any]:
    """Seconds a step by model; with 0 workers of a process without a strategy."""
    config = {"steps": steps, "alone": workers == 0}
    places = {"serving_model_dir": f"{folder}/model", "eval_model_dir": f"{folder}/eval"}
    fn_args = {**places, "model_run_dir": f"{folder}/run", "custom_config": config}
    job = Job("benchmarks.distributed.run_fn", fn_args, "FORMAT_TF_EXAMPLE", f"{folder}/scratch")
    Loopback(LoopbackWorkers(count=max(1, workers))).run(job)
    told: dict[str, Any] = json.loads((folder / "run/steps.json").read_text(encoding="utf-8"))
    return told


def as_markdown(results: dict[str, Any]) -> str:
    cores = results["machine"]["cores"]
    lines = [
        f"Global batch {BATCH}, {COLUMNS} columns, float32, Adam; {cores} cores.",
        "",
        "| layers | parameters | workers | ms a step | times one process |",
        "|---|---:|---|---:|---:|",
    ]
    for name in MODELS:
        alone = results["steps"]["0"][name]["seconds"]
        for workers, told in results["steps"].items():
            who = "one process, no strategy" if workers == "0" else workers
            seconds, parameters = told[name]["seconds"], f"{told[name]['parameters']:,}"
            figures = f"{1000 * seconds:.2f} | {seconds / alone:.2f}"
            lines.append(f"| {name} | {parameters} | {who} | {figures} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200, help="of each of three rounds")
    parser.add_argument("--output", type=pathlib.Path, default=report.RESULTS)
    options = parser.parse_args()
    steps = {}
    for workers in (0, 1, 2, 4):
        with tempfile.TemporaryDirectory() as folder:
            steps[str(workers)] = measure(pathlib.Path(folder), workers, options.steps)
    results = {"machine": report.machine(), "steps": steps}
    report.write(options.output, "distributed", results, as_markdown(results))


if __name__ == "__main__":
    main()
