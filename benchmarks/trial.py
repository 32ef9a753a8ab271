"""A trial: a real server, requests at a rate, the real controller, and what came of it."""

import asyncio
import contextlib
import dataclasses
import datetime
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tensorflow_serving.apis import predict_pb2

from benchmarks import canaries
from components.serving_gate.served import HOST, Served, serve
from serving.load.grpc import GrpcSender
from serving.load.measure import at_rate
from serving.releases import Releases
from serving.rollout.controller import Controller
from serving.rollout.plan import Plan
from serving.rollout.sources import EMBEDDED, Page, not_loaded
from serving.server.options import METRICS_PATH
from serving.server.tensor_protos import to_array, to_proto

MODEL = "plant"
_ROWS = 500
_LONGEST = 600.0


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came of a request.

    Attributes:
      at: when it was sent, ``time.perf_counter()``.
      seconds: until it was answered or failed.
      version: which answered; None if it failed.
      right: whether the answer is what the stable version answers, within a tolerance.
    """

    at: float
    seconds: float
    version: int | None
    right: bool


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a trial. Counted are the requests from its first step until it was decided.

    Attributes:
      kind: of version, such as ``slow``.
      state: what it is afterwards: stable or quarantined.
      why: as the record has it.
      exposed_seconds: from when the first requests could reach it until the decision; 0 if none
        could.
      sent: requests.
      to_canary: those that it answered.
      wrong: those answered wrong, NaN too.
      failed: those without an answer.
      late: those that it answered later than the latency that the plan allows.
      stable_late: those that the stable version answered later than that.
      afterwards: requests sent in the second after the decision.
      afterwards_harmed: those that failed or were answered wrong.
    """

    kind: str
    state: str
    why: str
    exposed_seconds: float
    sent: int
    to_canary: int
    wrong: int
    failed: int
    late: int
    stable_late: int
    afterwards: int
    afterwards_harmed: int

    @property
    def harmed(self) -> int:
        """Requests that the version answered wrong or late, and all that failed."""
        return self.wrong + self.failed + self.late


@contextlib.contextmanager
def serving(folder: Path, work: Path, stable: Path) -> Iterator[tuple[Served, Releases]]:
    """A server that follows a release record with one stable version.

    Args:
      folder: for the served model's versions.
      work: for the server's log.
      stable: the version's SavedModel.
    """
    releases = Releases(folder / MODEL)
    releases.push(stable, {}, keep=9, why="the first one")
    with serve(MODEL, releases.folder, work, 120, ["--follow-releases"]) as served:
        served.wait_until_available(MODEL, 120)
        yield served, releases


async def run(
    served: Served,
    releases: Releases,
    model: Path,
    plan: Plan,
    rate: float,
    timeout: float,
    poll: float = 0.25,
) -> Outcome:
    """Pushes a version as a canary and lets the controller decide while requests come.

    Args:
      served: the server.
      releases: its record.
      model: the version's SavedModel; its folder's name is its kind.
      plan: what is asked of it.
      rate: requests a second, in an open loop over gRPC.
      timeout: seconds after which a client gives a request up.
      poll: seconds between two looks of the controller.
    """
    inputs = canaries.rows(_ROWS)
    right = canaries.right_answers(inputs)
    sender = GrpcSender(served.grpc, _requests(inputs), timeout=timeout)
    answers: list[Answer] = []
    under_way = 0

    async def send(number: int) -> None:
        nonlocal under_way
        begin, version, fits = time.perf_counter(), None, False
        under_way += 1
        try:
            found = predict_pb2.PredictResponse.FromString(await sender.answer(number))
            version = found.model_spec.version.value
            value = to_array(canaries.OUTPUT, found.outputs[canaries.OUTPUT])[0]
            fits = bool(abs(value - right[number % _ROWS]) < canaries.TOLERANCE)
        finally:
            under_way -= 1
            answers.append(Answer(begin, time.perf_counter() - begin, version, fits))

    rest = f"http://{HOST}:{served.rest_port}"
    controller = Controller(
        releases,
        Page(rest + METRICS_PATH, EMBEDDED, MODEL),
        plan,
        lambda number: not_loaded(rest, MODEL, number),
    )
    load = asyncio.create_task(at_rate(send, rate, _LONGEST))
    await asyncio.sleep(1)
    number = releases.push(model, {}, keep=9, why=model.name, rollout="canary").version
    offset = time.time() - time.perf_counter()
    await asyncio.to_thread(lambda: list(controller.turns(poll)))
    decided = time.perf_counter()
    await asyncio.sleep(1.5)
    load.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await load
    while under_way:
        await asyncio.sleep(0.01)
    await sender.close()

    status = releases.statuses()[number]
    events = [e for e in releases.history() if e["version"] == number and e["what"] == "canary"]
    began = _instant(events[0]["at"]) - offset if events else decided
    during = [answer for answer in answers if began <= answer.at < decided]
    # The server reads the record ten times a second.
    after = [answer for answer in answers if answer.at >= decided + 0.5]
    to_canary = [answer for answer in during if answer.version == number]
    late = plan.thresholds.p99_ms / 1000
    others = [a for a in during if a.version not in (number, None)]
    return Outcome(
        kind=model.name,
        state=status.state,
        why=status.why,
        exposed_seconds=max(0.0, decided - began),
        sent=len(during),
        to_canary=len(to_canary),
        wrong=sum(a.version is not None and not a.right for a in during),
        failed=sum(a.version is None for a in during),
        late=sum(a.right and a.seconds > late for a in to_canary),
        stable_late=sum(a.seconds > late for a in others),
        afterwards=len(after),
        afterwards_harmed=sum(not a.right for a in after),
    )


def _requests(inputs: np.ndarray) -> list[bytes]:
    made = []
    for row in inputs:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = MODEL
        request.inputs["x"].CopyFrom(to_proto(row[None]))
        made.append(request.SerializeToString())
    return made


def _instant(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
