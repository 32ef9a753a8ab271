"""What a server is given under load, one change after the other, and what its versions answer."""

import dataclasses
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

from benchmarks import serving_model
from serving.releases import Releases

NAME = serving_model.NAME
REQUESTS = 100
_SHIFTS = (-1.0, 0.0, 1.0)


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
        right = self.answers[:, number % REQUESTS]
        if version is not None:
            right = right[[self.shifts[version]]]
        if not np.isclose(right, value, atol=1e-5).any():
            raise WrongError(f"{value} by version {version}: expected one of {right.tolist()}")


def know(folder: Path) -> Known:
    """Makes the models, and asks them in process."""
    from serving.server.servable import Servable

    models, answers = [], []
    examples = np.array(serving_model.bodies(REQUESTS).examples, object)
    for number, shift in enumerate(_SHIFTS):
        models.append(serving_model.save(folder, number + 1, shift))
        servable = Servable(str(models[-1]))
        outputs = servable.run("serving_default", {"examples": examples})
        answers.append(outputs[serving_model.OUTPUT][:, 0])
        servable.close()
    return Known(models, np.stack(answers), {})


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
