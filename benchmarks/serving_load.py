"""Measures the embedded server beside the model called in process, and ways of batching.

One model (20 numbers, layers of 128 and 64, one output), one row a request, server and sender on
the same cores. In process is the limit: the session's own call, by one thread and by two, and
nothing else. The peers of adaptive batching are the same server told to run each request by itself,
and to wait up to 2 ms for others, which TensorFlow Serving's batching files commonly say. Each way
is measured in rounds, so that a machine that slows down slows all of them.

Closed loop: each connection sends its next request when the last is answered. Open loop: requests
leave at a rate whether or not earlier ones were answered, and count from when they were due.

Run ``python -m benchmarks.serving_load``; ``--seconds 1 --rounds 1`` for a quick look. Results go
to ``benchmarks/results/serving_load.json`` and ``.md``.
"""

import argparse
import asyncio
import base64
import contextlib
import dataclasses
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from benchmarks import report, serving_model
from components.serving_gate.served import HOST, Served, serve
from serving.load.grpc import GrpcSender
from serving.load.measure import Result, at_rate, over_connections
from serving.load.rest import RestSender

CONNECTIONS = (1, 8, 32)
RATE = 1000.0
BATCHING = {
    "adaptive": "",
    "one at a time": "max_batch_size { value: 1 } batch_timeout_micros { value: 0 } "
    "max_enqueued_batches { value: 4096 } num_batch_threads { value: 2 }",
    "2 ms queue": "max_batch_size { value: 128 } batch_timeout_micros { value: 2000 } "
    "max_enqueued_batches { value: 100 } num_batch_threads { value: 2 }",
}


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to ask.

    Attributes:
      batching: a key of BATCHING.
      api: REST or gRPC.
      signature: serving_default or columns.
      connections: of a closed loop; 0 for an open one at RATE.
    """

    batching: str
    api: str
    signature: str
    connections: int


def ways() -> list[Way]:
    """What is measured of a server."""
    loops = (*CONNECTIONS, 0)
    full = [Way("adaptive", api, "serving_default", c) for api in ("REST", "gRPC") for c in loops]
    columns = [Way("adaptive", "REST", "columns", c) for c in loops]
    peers = [
        Way(batching, "gRPC", "serving_default", c)
        for batching in BATCHING
        if batching != "adaptive"
        for c in loops
    ]
    return full + columns + peers


def in_process(model: Path, signature: str, threads: int, seconds: float) -> float:
    """Calls a second of the session's callable, without a server."""
    from serving.server.servable import Servable

    servable = Servable(str(model))
    requests = serving_model.bodies()
    inputs: list[dict[str, np.ndarray]] = (
        [{"x": row} for row in requests.columns]
        if signature == "columns"
        else [{"examples": np.array([example], object)} for example in requests.examples]
    )
    calls = [0] * threads
    end = time.perf_counter() + seconds

    def call(thread: int) -> None:
        while time.perf_counter() < end:
            servable.run(signature, inputs[calls[thread] % len(inputs)])
            calls[thread] += 1

    workers = [threading.Thread(target=call, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    servable.close()
    return sum(calls) / seconds


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[dict[str, Served]]:
    """A server for each way of batching; those that are not asked cost nothing."""
    with contextlib.ExitStack() as stack:
        started = {}
        for number, (name, text) in enumerate(BATCHING.items()):
            work = folder / f"work{number}"
            work.mkdir()
            flags = []
            if text:
                file = work / "batching.config"
                file.write_text(text)
                flags = ["--enable-batching", f"--batching-parameters-file={file}"]
            served = stack.enter_context(
                serve(serving_model.NAME, folder / "model", work, 120, flags)
            )
            served.wait_until_available(serving_model.NAME, 120)
            started[name] = served
        yield started


def ask(served: Served, way: Way, requests: serving_model.Bodies, seconds: float) -> Result:
    """Asks one server one way."""

    async def run() -> Result:
        sender = make_sender(served, way, requests)
        await over_connections(sender, way.connections or 8, min(1.0, seconds))
        result = await load(sender)
        closed = sender.close()
        if closed is not None:
            await closed
        return result

    def load(sender: Callable[[int], Awaitable[None]]) -> Awaitable[Result]:
        if way.connections:
            return over_connections(sender, way.connections, seconds)
        return at_rate(sender, RATE, seconds)

    return asyncio.run(run())


def make_sender(
    served: Served, way: Way, requests: serving_model.Bodies
) -> RestSender | GrpcSender:
    """Prepared requests, so that making them is not measured."""
    if way.api == "gRPC":
        return GrpcSender(served.grpc, serving_model.messages(requests.examples))
    if way.signature == "columns":
        bodies = [{"instances": row.tolist()} for row in requests.columns]
    else:
        encoded = [base64.b64encode(example).decode() for example in requests.examples]
        bodies = [{"instances": [{"b64": text}]} for text in encoded]
    return RestSender(
        HOST,
        served.rest_port,
        f"/v1/models/{serving_model.NAME}:predict",
        [json.dumps({"signature_name": way.signature, **body}).encode() for body in bodies],
    )


def measure(seconds: float, rounds: int) -> dict[str, Any]:
    """Everything, ``rounds`` times; quoted are medians."""
    runs: dict[Way, list[Result]] = {way: [] for way in ways()}
    limits: dict[str, list[float]] = {"serving_default": [], "columns": []}
    requests = serving_model.bodies()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "model").mkdir()
        model = serving_model.save(folder / "model", 1)
        with servers(folder) as started:
            for turn in range(rounds):
                for signature, rates in limits.items():
                    rates.append(max(in_process(model, signature, n, seconds) for n in (1, 2)))
                for way, results in runs.items():
                    print(f"round {turn + 1} of {rounds}: {way}", file=sys.stderr, flush=True)
                    results.append(ask(started[way.batching], way, requests, seconds))
    in_process_rate = {name: statistics.median(rates) for name, rates in limits.items()}
    rows = [row(way, results, in_process_rate[way.signature]) for way, results in runs.items()]
    return {
        "machine": report.machine(),
        "seconds": seconds,
        "rounds": rounds,
        "open_loop_rate": RATE,
        "in_process_per_second": {name: round(rate) for name, rate in in_process_rate.items()},
        "load": rows,
    }


def row(way: Way, results: list[Result], limit: float) -> dict[str, Any]:
    """One way's figures."""
    rate = statistics.median(result.rate for result in results)
    return {
        **dataclasses.asdict(way),
        "per_second": round(rate),
        "share_of_in_process": round(rate / limit, 2),
        **{
            f"p{p}_ms": round(statistics.median(r.percentile_ms(p) for r in results), 2)
            for p in (50, 99)
        },
        "sent": sum(result.sent for result in results),
        "failed": sum(result.failed for result in results),
        "sent_late": sum(result.late for result in results),
    }


def as_markdown(results: dict[str, Any]) -> str:
    lines = [
        "| batching | API | signature | loop | answers/s | of in process | p50 ms | p99 ms "
        "| failed |",
        "|---|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for found in results["load"]:
        loop = f"closed, {found['connections']} connections"
        if not found["connections"]:
            loop = f"open, {results['open_loop_rate']:g}/s"
        lines.append(
            f"| {found['batching']} | {found['api']} | {found['signature']} | {loop} "
            f"| {found['per_second']:,} | {found['share_of_in_process']:.0%} | {found['p50_ms']} "
            f"| {found['p99_ms']} | {found['failed']} of {found['sent']:,} |"
        )
    rates = results["in_process_per_second"]
    lines += [
        "",
        f"In process, the better of one and two threads: {rates['serving_default']:,} calls/s of "
        f"serving_default (serialized examples), {rates['columns']:,} of columns. Medians of "
        f"{results['rounds']} rounds of {results['seconds']:g} s. Server and sender share "
        f"{results['machine']['cores']} cores, {results['machine']['platform']}, Python "
        f"{results['machine']['python']}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=3, help="turns of all ways")
    parser.add_argument("--output", type=Path, default=report.RESULTS, help="where they go")
    options = parser.parse_args()
    uvloop.install()
    results = measure(options.seconds, options.rounds)
    report.write(options.output, "serving_load", results, as_markdown(results))


if __name__ == "__main__":
    main()
