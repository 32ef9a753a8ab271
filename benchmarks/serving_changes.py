"""Changes what is served, again and again, while 32 connections ask: how many requests fail?

Two servers, one after the other, each with 16 connections over REST, half of which ask for the
label ``stable``, and 16 over gRPC. Each answer is compared with what its version answers.

- One follows a release record: pushes that serve at once, canaries of 1, 10 and 50 %, promotions,
  rollbacks by the command ``python -m pipeline rollback``, broken candidates pushed as canaries,
  and folders with broken models dropped beside the versions.
- One watches a folder as TensorFlow Serving does: new versions renamed into it, labels moved by
  HandleReloadConfigRequest, broken and half-copied versions dropped into it, old ones removed.

Run ``python -m benchmarks.serving_changes``; ``--seconds 20`` for a quick look. Results go to
``benchmarks/results/serving_changes.json`` and ``.md``.
"""

import argparse
import asyncio
import base64
import collections
import contextlib
import dataclasses
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import uvloop
import yaml
from google.protobuf import text_format
from tensorflow_serving.apis import (
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from benchmarks import serving_model
from components.serving_gate.served import HOST, Served, serve
from serving.load.grpc import GrpcSender
from serving.load.measure import Result, over_connections
from serving.load.rest import RestSender
from serving.releases import Releases

RESULTS = Path(__file__).parent / "results"
CONNECTIONS = 32
NAME = serving_model.NAME
_SHIFTS = (-1.0, 0.0, 1.0)
_REQUESTS = 100
_PAUSE = 1.0


class WrongError(Exception):
    """An answer that no version, or not the one that signed it, gives."""


@dataclasses.dataclass
class Known:
    """What the versions answer.

    Attributes:
      models: their SavedModels, one for each shift.
      answers: [shift, request], float32.
      shifts: by version, which shift it has.
    """

    models: list[Path]
    answers: np.ndarray
    shifts: dict[int, int]

    def check(self, number: int, value: float, version: int | None = None) -> None:
        """Raises WrongError if request ``number`` is answered otherwise."""
        right = self.answers[:, number % _REQUESTS]
        if version is not None:
            right = right[[self.shifts[version]]]
        if not np.isclose(right, value, atol=1e-5).any():
            raise WrongError(f"{value} by version {version}: expected one of {right.tolist()}")


def know(folder: Path) -> Known:
    """Makes the models, and asks them in process."""
    from serving.server.servable import Servable

    models, answers = [], []
    examples = np.array(serving_model.bodies(_REQUESTS).examples, object)
    for number, shift in enumerate(_SHIFTS):
        models.append(serving_model.save(folder, number + 1, shift))
        servable = Servable(str(models[-1]))
        outputs = servable.run("serving_default", {"examples": examples})
        answers.append(outputs[serving_model.OUTPUT][:, 0])
        servable.close()
    return Known(models, np.stack(answers), {})


async def ask(served: Served, known: Known, seconds: float) -> dict[str, Result]:
    """Asks over all connections, and checks each answer."""
    examples = serving_model.bodies(_REQUESTS).examples
    bodies = [
        json.dumps({"instances": [{"b64": base64.b64encode(text).decode()}]}).encode()
        for text in examples
    ]
    messages = []
    for text in examples:
        message = predict_pb2.PredictRequest()
        message.model_spec.name = NAME
        tensor = message.inputs["examples"]
        tensor.dtype = 7  # DT_STRING
        tensor.tensor_shape.dim.add(size=1)
        tensor.string_val.append(text)
        messages.append(message.SerializeToString())

    def over_rest(path: str) -> tuple[Callable[[int], Awaitable[None]], RestSender]:
        sender = RestSender(HOST, served.rest_port, f"/v1/models/{NAME}{path}:predict", bodies)

        async def send(number: int) -> None:
            status, body = await sender.answer(number)
            if status != 200:
                raise WrongError(f"{status} {body[:150].decode(errors='replace')}")
            known.check(number, json.loads(body)["predictions"][0][0])

        return send, sender

    over_grpc = GrpcSender(served.grpc, messages)

    async def send_grpc(number: int) -> None:
        answer = predict_pb2.PredictResponse.FromString(await over_grpc.answer(number))
        version = answer.model_spec.version.value
        known.check(number, answer.outputs[serving_model.OUTPUT].float_val[0], version)

    plain, plain_sender = over_rest("")
    labelled, label_sender = over_rest("/labels/stable")
    quarter = CONNECTIONS // 4
    results = await asyncio.gather(
        over_connections(plain, quarter, seconds),
        over_connections(labelled, quarter, seconds),
        over_connections(send_grpc, 2 * quarter, seconds),
    )
    plain_sender.close()
    label_sender.close()
    await over_grpc.close()
    return dict(zip(("REST", "REST, label stable", "gRPC"), results, strict=True))


def release_changes(
    releases: Releases, known: Known, settings: Path, rollbacks: list[float]
) -> Iterator[str]:
    """Makes one change after the other by the release record, for ever; yields what it was."""
    turn = 0

    def push(rollout: str = "canary", broken: bool = False) -> int:
        """A version with other bytes each time: the record knows models by their content."""
        nonlocal turn
        turn += 1
        model = known.models[turn % len(known.models)]
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(shutil.copytree(model, Path(scratch) / "model"))
            (copy / "assets").mkdir(exist_ok=True)
            (copy / "assets/turn").write_text(str(turn))
            if broken:
                (copy / "saved_model.pb").write_bytes(b"\xff not a graph")
            # Before it is there, as it may answer at once.
            known.shifts[releases.versions()[-1].number + 1] = turn % len(known.models)
            return releases.push(copy, {}, 5, f"turn {turn}", rollout=rollout).version

    def advance(version: int, percent: int) -> None:
        releases.advance(version, percent, "its turn has come", "benchmark", {})

    while True:
        version = push()
        yield "push of a canary"
        for percent in (0, 1, 10, 50):
            advance(version, percent)
            yield f"canary at {percent} %" if percent else "load of a canary"
        releases.promote(version, "better")
        yield "promotion"
        began = time.perf_counter()
        command = [sys.executable, "-m", "pipeline", "--settings", str(settings), "rollback"]
        subprocess.run([*command, "--why", "measured"], check=True, capture_output=True)
        rollbacks.append(time.perf_counter() - began)
        yield "rollback by the command"
        drop_broken(releases.folder, releases.versions()[-1].number + 10)
        yield "broken folder beside the versions"
        version = push(broken=True)
        advance(version, 0)
        yield "broken canary"
        releases.rollback("does not load", number=version)
        yield "rollback of a broken canary"
        push(rollout="at_once")
        yield "push that serves at once"


def folder_changes(folder: Path, known: Known, address: str) -> Iterator[str]:
    """Makes one change after the other as TensorFlow Serving is operated; yields what it was."""
    channel = grpc.insecure_channel(address)
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    version = 1

    def label(number: int) -> None:
        request = model_management_pb2.ReloadConfigRequest()
        request.config.CopyFrom(models_config(folder, {"stable": number}))
        stub.HandleReloadConfigRequest(request, timeout=30)

    while True:
        version += 1
        shift = version % len(known.models)
        known.shifts[version] = shift
        shutil.copytree(known.models[shift], folder / f"staged-{version}")
        (folder / f"staged-{version}").rename(folder / str(version))
        wait_until(lambda number=version: available(address, number))
        yield "version renamed into the folder"
        label(version)
        yield "label moved"
        drop_broken(folder, version + 1)
        yield "broken version dropped into the folder"
        version += 2
        half = folder / str(version)
        half.mkdir()
        yield "half-copied version in the folder"
        shutil.rmtree(folder / str(version - 1))
        shutil.rmtree(half)
        yield "broken versions removed"
        for old in range(1, version - 8):
            shutil.rmtree(folder / str(old), ignore_errors=True)


def drop_broken(folder: Path, version: int) -> None:
    """A version that is none."""
    (folder / str(version)).mkdir()
    (folder / str(version) / "saved_model.pb").write_bytes(b"\xff not a graph")


def models_config(folder: Path, labels: dict[str, int]) -> Any:
    config = model_server_config_pb2.ModelServerConfig()
    model = config.model_config_list.config.add(
        name=NAME, base_path=str(folder), model_platform="tensorflow"
    )
    # All that are there, so that a label never points at one that is on its way out.
    model.model_version_policy.all.SetInParent()
    model.version_labels.update(labels)
    return config


def available(address: str, version: int) -> bool:
    from tensorflow_serving.apis import get_model_status_pb2

    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = NAME
    request.model_spec.version.value = version
    with grpc.insecure_channel(address) as channel:
        try:
            answer = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(
                request, timeout=10
            )
        except grpc.RpcError:
            return False
    return bool(answer.model_version_status[0].state == 30)  # AVAILABLE


def wait_until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("a version does not become available")
        time.sleep(0.05)


async def under_load(
    served: Served, known: Known, changes: Iterator[str], seconds: float
) -> dict[str, Any]:
    """Asks while changes are made, a pause between them."""
    made: collections.Counter[str] = collections.Counter()

    async def change() -> None:
        while True:
            await asyncio.sleep(_PAUSE)
            made[await asyncio.to_thread(next, changes)] += 1

    changing = asyncio.create_task(change())
    results = await ask(served, known, seconds)
    failed_change = changing.done() and changing.exception()
    changing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await changing
    if failed_change:
        raise failed_change
    return {
        "changes": dict(made),
        "load": {name: figures(result) for name, result in results.items()},
    }


def figures(result: Result) -> dict[str, Any]:
    return {
        "sent": result.sent,
        "failed": result.failed,
        "failures": dict(result.failures),
        "per_second": round(result.rate),
        "p50_ms": round(result.percentile_ms(50), 1),
        "p99_ms": round(result.percentile_ms(99), 1),
        "max_ms": round(result.percentile_ms(100), 1),
    }


def by_record(scratch: Path, known: Known, seconds: float) -> dict[str, Any]:
    """The server that follows a release record."""
    releases = Releases(scratch / "serving" / NAME)
    known.shifts = {1: 0}
    releases.push(known.models[0], {}, 5, "the first one")
    settings = scratch / "settings.yaml"
    settings.write_text(
        yaml.safe_dump({"serving": {"directory": str(scratch / "serving"), "model": NAME}})
    )
    work = scratch / "work-record"
    work.mkdir()
    rollbacks: list[float] = []
    with serve(NAME, releases.folder, work, 120, ["--follow-releases"]) as served:
        served.wait_until_available(NAME, 120)
        changes = release_changes(releases, known, settings, rollbacks)
        found = asyncio.run(under_load(served, known, changes, seconds))
    return {**found, "rollback_command_seconds": [round(took, 2) for took in rollbacks]}


def by_folder(scratch: Path, known: Known, seconds: float) -> dict[str, Any]:
    """The server that watches a folder."""
    folder, work = scratch / "watched", scratch / "work-folder"
    folder.mkdir()
    work.mkdir()
    known.shifts = {1: 0}
    shutil.copytree(known.models[0], folder / "1")
    config = work / "models.config"
    config.write_text(text_format.MessageToString(models_config(folder, {})))
    with serve(NAME, folder, work, 120, [f"--model-config-file={config}"]) as served:
        served.wait_until_available(NAME, 120)
        request = model_management_pb2.ReloadConfigRequest()
        request.config.CopyFrom(models_config(folder, {"stable": 1}))
        with grpc.insecure_channel(served.grpc) as channel:
            model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(request)
        changes = folder_changes(folder, known, served.grpc)
        return asyncio.run(under_load(served, known, changes, seconds))


def as_markdown(results: dict[str, Any]) -> str:
    lines = [
        "| server | asked | sent | failed or wrong | answers/s | p50 ms | p99 ms | longest ms |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    names = {"record": "follows a release record", "folder": "watches a folder"}
    for key, title in names.items():
        lines += [
            f"| {title} | {how} | {r['sent']:,} | {r['failed']} | {r['per_second']:,} "
            f"| {r['p50_ms']} | {r['p99_ms']} | {r['max_ms']} |"
            for how, r in results[key]["load"].items()
        ]
    lines.append("")
    for key, title in names.items():
        made = ", ".join(f"{what}: {n}" for what, n in results[key]["changes"].items())
        lines.append(f"The one that {title}, {results[key]['seconds']:g} s: {made}.")
        lines.append("")
    took = sorted(results["record"]["rollback_command_seconds"])
    if took:
        lines.append(
            f"The rollback command took {took[0]} to {took[-1]} s, the median "
            f"{took[len(took) // 2]}, starting Python included."
        )
    machine = results["machine"]
    lines.append(
        f"{CONNECTIONS} connections, closed loop; server and sender share {machine['cores']} "
        f"cores, {machine['platform']}, Python {machine['python']}."
    )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=300.0, help="with the release record")
    parser.add_argument("--folder-seconds", type=float, default=60.0, help="with the folder")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the results")
    options = parser.parse_args()
    uvloop.install()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        (scratch / "models").mkdir()
        known = know(scratch / "models")
        results = {
            "machine": {
                "cores": os.cpu_count(),
                "platform": platform.platform(),
                "python": platform.python_version(),
            },
            "record": by_record(scratch, known, options.seconds) | {"seconds": options.seconds},
            "folder": by_folder(scratch, known, options.folder_seconds)
            | {"seconds": options.folder_seconds},
        }
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "serving_changes.json").write_text(json.dumps(results, indent=2) + "\n")
    table = as_markdown(results)
    (options.output / "serving_changes.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
