"""The stages' names, told from the settings alone, without importing TFX."""

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Settings ask this module for the names that kubeflow.nodes may use.
    from pipeline.settings.models import Settings

_TO_TRANSFORM = (
    "PointInTimeJoin",
    "StatisticsGen",
    "CuratedSchema",
    "Champion",
    "ExampleValidator",
    "AnomalyGate",
    "Transform",
)
_FROM_TRAINER = ("Trainer", "Evaluator", "ServingGate", "VersionPusher")

_ON_BEAM = ("PointInTimeJoin", "StatisticsGen", "Transform", "Evaluator")

# A local run begins their work before the gates that they wait for have said their word: it changes
# nothing but their own outputs, which are published only then.
AHEAD = ("Transform",)

# They read and write the release record.
RELEASING = ("Champion", "VersionPusher")


def example_gen_id(settings: "Settings", source: str) -> str:
    """The name of the stage that reads a source."""
    readers = {"sql": "SqlExampleGen", "sensor": "SensorExampleGen"}
    return f"{readers.get(settings.sources[source].kind, 'StoreExampleGen')}-{source}"


def node_ids(settings: "Settings") -> list[str]:
    """All stages, each after those that it takes something from."""
    return [
        *(example_gen_id(settings, name) for name in settings.sources),
        *_TO_TRANSFORM,
        *(("Tuner",) if settings.tuning else ()),
        *_FROM_TRAINER,
    ]


def beam_node_ids(settings: "Settings") -> list[str]:
    """The stages whose work is done by Beam."""
    return [*(example_gen_id(settings, name) for name in settings.sources), *_ON_BEAM]


def is_cached(settings: "Settings", node: str, wish: bool | None) -> bool:
    """Whether a platform that sees only a node's inputs and parameters may cache it.

    A database, files and the release record change without either, so that nodes that look at them
    are cached on demand only, Champion and VersionPusher never.

    Args:
      settings: the project's settings.
      node: the node's id.
      wish: what the settings say; None where they say nothing.
    """
    if node in RELEASING:
        return False
    reads = {example_gen_id(settings, name) for name in settings.sources}
    return node not in reads if wish is None else wish


def check_node(settings: "Settings", option: str, node: str) -> None:
    """Refuses a name that is no stage's.

    Raises:
      ValueError: with the nearest name and all names.
    """
    known = node_ids(settings)
    if node in known:
        return
    near = difflib.get_close_matches(node, known, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{option} {node!r} is no stage{hint} Stages are: {', '.join(known)}")
