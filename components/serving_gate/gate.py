"""Examines a candidate: does it load, answer right, and answer in time?"""

import asyncio
import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import logging

from components.ingest import tfrecord
from components.serving_gate import answers, predictions
from components.serving_gate.answers import InProcess
from components.serving_gate.quiet import quiet
from components.serving_gate.requests import EXAMPLES, Request, make, warmup
from components.serving_gate.served import NotServedError, Served, serve
from components.serving_gate.settings import GateSettings
from serving.folders import copy_tree
from serving.load.grpc import GrpcSender
from serving.load.measure import Result, at_rate
from serving.load.rest import RestSender

WARMUP = "assets.extra/tf_serving_warmup_requests"
_WARMUP_REQUESTS = 20
_CHECKED_ROWS = 50
_MOST_TOLD = 5
_BUSY = 0.2


@dataclasses.dataclass
class Verdict:
    """What the gate found.

    Attributes:
      reasons: why the candidate is not blessed, a clause each; empty if it is.
      measured: the figures, by name.
    """

    reasons: list[str] = dataclasses.field(default_factory=list)
    measured: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def blessed(self) -> bool:
        """Whether the candidate may be pushed."""
        return not self.reasons

    @property
    def summary(self) -> str:
        """A line for people."""
        if self.reasons:
            return f"not blessed: {'; '.join(self.reasons[:_MOST_TOLD])}"
        found = self.measured
        return (
            f"blessed: p99 {found['latency_p99_ms']:.1f} ms at {found['rate']:.0f} requests/s, "
            f"{found['checked']} answers right"
        )


def stage(model: Path, place: Path, requests: Sequence[Request], name: str) -> None:
    """Copies the candidate with requests to warm it up; content is shared where links can.

    Args:
      model: the SavedModel.
      place: where the copy will stand.
      requests: what it is warmed up with.
      name: the served model's name.
    """
    if place.exists():
        shutil.rmtree(place)
    copy_tree(model, place, link=True)
    extra = place / WARMUP
    # A trainer may have put requests of its own there; the file is replaced, never written into.
    if not extra.exists():
        with tfrecord.RecordWriter(str(extra)) as writer:
            writer.write_records(warmup([request.message(name) for request in requests]))


def examine(model: Path, records: Sequence[bytes], settings: GateSettings, work: Path) -> Verdict:
    """Serves the candidate, asks it and puts it under load.

    Args:
      model: its SavedModel.
      records: serialized tf.Examples of the evaluation split; as many as the settings say are asked
        for, and the answers to all of them are kept with the staged candidate.
      settings: the budget.
      work: a folder for the staged candidate (``<work>/models/1``) and the server's log.

    Returns:
      The verdict; a candidate that cannot be loaded or served is one that is not blessed.
    """
    verdict = Verdict()
    if not records:
        verdict.reasons.append("the evaluation split has no examples to ask it with")
        return verdict
    try:
        in_process = InProcess(model)
    except Exception as error:  # TensorFlow raises what it likes for a bad model
        told = str(error).strip().partition("\n")[0]
        verdict.reasons.append(f"it cannot be loaded in process: {told}")
        return verdict
    inputs = in_process.columns
    asked = records[: settings.examples]
    single = make(asked, inputs, 1)
    stage(model, work / "models/1", single[:_WARMUP_REQUESTS], settings.model)
    try:
        with serve(settings.model, work / "models", work, settings.start_seconds) as served:
            served.wait_until_available(settings.model, settings.start_seconds)
            logging.info("serving gate: asking for %d examples", len(asked))
            requests = make(asked, inputs, _CHECKED_ROWS)
            asyncio.run(_check(served, requests, in_process, settings, verdict))
            if verdict.blessed:
                # Before the load, for which other stages have to end first.
                predictions.keep(in_process, records, work / "models/1")
            tries: list[Result] = []
            with quiet(), served.watch_processors() as processors:
                while len(tries) < settings.tries:
                    logging.info("serving gate: %g requests/s", settings.rate)
                    tries.append(asyncio.run(_load(served, single, settings)))
                    served.check()
                    if tries[-1].failed or tries[-1].percentile_ms(99) <= settings.latency_p99_ms:
                        break
            verdict.measured |= {"memory_mb": served.memory_mb(), **processors}
            _judge(tries, settings, verdict)
    except NotServedError as error:
        verdict.reasons.append(str(error))
    return verdict


async def _check(
    served: Served,
    requests: Sequence[Request],
    in_process: InProcess,
    settings: GateSettings,
    verdict: Verdict,
) -> None:
    """Compares answers of both APIs with the model's in process."""
    messages = [request.message(settings.model).SerializeToString() for request in requests]
    over_grpc = GrpcSender(served.grpc, messages, timeout=60)
    host, _, _ = served.grpc.partition(":")
    path = f"/v1/models/{settings.model}:predict"
    bodies = [answers.rest_body(request) for request in requests if request.signature == EXAMPLES]
    over_rest = RestSender(host, served.rest_port, path, bodies, timeout=60)
    checked, body_number = 0, -1
    try:
        for number, request in enumerate(requests):
            body_number += request.signature == EXAMPLES
            rows = request.rows.stop - request.rows.start
            expected = in_process.answer(request)
            where = f"{request.signature}, rows {request.rows.start} to {request.rows.stop - 1}"
            try:
                got = {"gRPC": answers.from_grpc(await over_grpc.answer(number))}
                if request.signature == EXAMPLES:
                    status, body = await over_rest.answer(body_number)
                    if status != 200:
                        raise ValueError(f"REST answers {status}: {body[:200]!r}")
                    got["REST"] = answers.from_rest(body, expected)
            except Exception as error:  # whatever a client raises, the candidate did not answer
                served.check()
                told = getattr(error, "details", lambda: None)() or str(error)
                verdict.reasons.append(f"{where}: no answer: {told[:300]}")
                continue
            for api, outputs in got.items():
                found = answers.faults(expected, outputs, rows, settings.tolerance)
                verdict.reasons += [f"{where}, {api}: {fault}" for fault in found]
                checked += rows
    finally:
        over_rest.close()
        await over_grpc.close()
    verdict.measured["checked"] = checked


async def _load(served: Served, requests: Sequence[Request], settings: GateSettings) -> Result:
    messages = [request.message(settings.model).SerializeToString() for request in requests]
    sender = GrpcSender(served.grpc, messages)
    try:
        return await at_rate(sender, settings.rate, settings.seconds)
    finally:
        await sender.close()


def _busy(verdict: Verdict) -> str:
    others = verdict.measured["others_cpu"]
    if others < _BUSY:
        return ""
    return f" (other programs took {others:.0%} of the processors meanwhile; run it again)"


def _judge(tries: Sequence[Result], settings: GateSettings, verdict: Verdict) -> None:
    # What failed was in the last try; else the quickest one counts.
    result = tries[-1] if tries[-1].failed else min(tries, key=lambda r: r.percentile_ms(99))
    share = result.failed / result.sent
    verdict.measured |= {
        "rate": result.sent / settings.seconds,
        "sent": result.sent,
        "failed": result.failed,
        "failures": dict(result.failures),
        "sent_late": result.late,
        "tried_p99_ms": [one.percentile_ms(99) for one in tries],
        **{f"latency_p{p}_ms": result.percentile_ms(p) for p in (50, 95, 99)},
    }
    if share > settings.max_errors:
        most = max(result.failures, key=lambda reason: result.failures[reason])
        verdict.reasons.append(
            f"{result.failed} of {result.sent} requests failed under load, and max_errors is "
            f"{settings.max_errors:g} ({most})"
        )
    p99 = verdict.measured["latency_p99_ms"]
    if not p99 <= settings.latency_p99_ms:
        verdict.reasons.append(
            f"p99 is {p99:.1f} ms at {settings.rate:g} requests/s in the best of {len(tries)} "
            f"tries, and latency_p99_ms is {settings.latency_p99_ms:g}{_busy(verdict)}"
        )
    memory = verdict.measured["memory_mb"]
    if memory > settings.memory_mb:
        verdict.reasons.append(
            f"the server holds {memory:.0f} MiB, and memory_mb is {settings.memory_mb:g}"
        )
