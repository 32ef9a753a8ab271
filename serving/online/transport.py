"""What a client asks of a server, whichever of the two APIs carries it."""

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import numpy as np


@dataclasses.dataclass(frozen=True)
class Target:
    """Which model, and which of its versions: one by number, by label, or the server's choice."""

    model: str
    version: int | None = None
    label: str | None = None
    signature: str = "predict_columns"


@dataclasses.dataclass(frozen=True)
class Signature:
    """A version's signature.

    Attributes:
      version: the version that was asked.
      inputs: by name the type's name, such as ``DT_DOUBLE``.
      outputs: likewise.
    """

    version: int
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class VersionState:
    """How a version stands on a server.

    Attributes:
      version: its number.
      state: as GetModelStatus names it: START, LOADING, AVAILABLE, UNLOADING or END.
      error: what its load failed of; empty if it did not.
    """

    version: int
    state: str
    error: str = ""


class Transport(Protocol):
    """One server's API; may be used by several threads."""

    versions_told: bool
    """Whether an answer says which version gave it."""

    def signature(self, target: Target, timeout: float) -> Signature:
        """Asks for a signature.

        Raises:
          PredictionError: whatever the server, or the way there, answers instead.
        """
        ...

    def states(self, target: Target, timeout: float) -> list[VersionState]:
        """How the versions that a target may mean stand, the newest first.

        Raises:
          PredictionError: as of ``signature``; NOT_FOUND if there are none.
        """
        ...

    def predict(
        self,
        target: Target,
        signature: Signature,
        columns: Mapping[str, np.ndarray],
        timeout: float,
        headers: Mapping[str, str],
    ) -> tuple[int, dict[str, np.ndarray]]:
        """Asks for a prediction: the version that gave it, and the outputs.

        ``headers`` go along, or as gRPC's metadata: ``x-request-id``, which servers and proxies
        log, and ``x-observation``.

        Raises:
          PredictionError: whatever the server, or the way there, answers instead.
        """
        ...

    def close(self) -> None:
        """Closes all connections."""
        ...


def no_such_signature(target: Target, there: Mapping[str, object]) -> str:
    """What to tell of a signature that a model lacks."""
    return (
        f"model {target.model!r} has no signature {target.signature!r}; it has "
        f"{', '.join(sorted(there)) or 'none'}"
    )
