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
import json
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import uvloop
import yaml
from google.protobuf import text_format
from tensorflow_serving.apis import (
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
)

from benchmarks import report, serving_model
from benchmarks.version_changes import (
    REQUESTS,
    Known,
    WrongError,
    folder_changes,
    know,
    models_config,
    release_changes,
)
from components.serving_gate.served import HOST, Served, serve
from serving.load.grpc import GrpcSender
from serving.load.measure import Result, over_connections
from serving.load.rest import RestSender
from serving.releases import Releases

CONNECTIONS = 32
NAME = serving_model.NAME
_PAUSE = 1.0


async def ask(served: Served, known: Known, seconds: float) -> dict[str, Result]:
    """Asks over all connections, and checks each answer."""
    examples = serving_model.bodies(REQUESTS).examples
    bodies = [
        json.dumps({"instances": [{"b64": base64.b64encode(text).decode()}]}).encode()
        for text in examples
    ]
    messages = serving_model.messages(examples)

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
    parser.add_argument("--output", type=Path, default=report.RESULTS, help="where they go")
    options = parser.parse_args()
    uvloop.install()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        (scratch / "models").mkdir()
        known = know(scratch / "models")
        results = {
            "machine": report.machine(),
            "record": by_record(scratch, known, options.seconds) | {"seconds": options.seconds},
            "folder": by_folder(scratch, known, options.folder_seconds)
            | {"seconds": options.folder_seconds},
        }
    report.write(options.output, "serving_changes", results, as_markdown(results))


if __name__ == "__main__":
    main()
