"""Labels come from the spine, by entity and time, once they are settled."""

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
import yaml

from components.ingest.durations import MICROSECONDS
from pipeline.settings import Settings, load_settings

pytestmark = pytest.mark.tfx
HOUR = MICROSECONDS["h"]
BEGIN = int(datetime.datetime(2025, 3, 3, tzinfo=datetime.timezone.utc).timestamp()) * 1_000_000
ENTITIES, TIMES = 40, 24


def settings_of(folder: Path, **drift: object) -> Settings:
    """A spine with a row every three hours for three days: entities below 10 fail on day two."""
    engine = sa.create_engine(f"sqlite:///{folder}/plant.db")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE IF NOT EXISTS o (machine_id, at, load, fails)"))
        connection.execute(sa.text("DELETE FROM o"))
        for entity in range(ENTITIES):
            for place in range(TIMES):
                at = datetime.datetime(2025, 3, 3) + place * datetime.timedelta(hours=3)
                row = {
                    "e": entity,
                    "t": f"{at}.000000",
                    "l": 0.5,
                    "f": int(entity < 10 and place > 7),
                }
                connection.execute(sa.text("INSERT INTO o VALUES (:e, :t, :l, :f)"), row)
    engine.dispose()
    text = {
        "project": {"name": "plant-failures"},
        "spine": "o",
        "sources": {
            "o": {
                "kind": "sql",
                "url": f"sqlite:///{folder}/plant.db",
                "query": "SELECT * FROM o WHERE at >= :begin AND at < :end",
                "entity": "machine_id",
                "time": "at",
            }
        },
        "label": {"name": "fails", "horizon": "12h"},
        "split": {"by": "time", "train": "60d", "eval": "14d"},
        "evaluation": {"metrics": {"auc": {"may_drop": 0.02}}},
        "monitoring": {"drift": {"min_examples": 100, **drift}},
    }
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(text))
    return load_settings(path)


def served(probability, late: int = 0):
    """Each entity is asked about every three hours."""
    from pipeline.monitor.served import Served

    rows = [(entity, place) for entity in range(ENTITIES) for place in range(TIMES)]
    answers = np.array([probability(*row) for row in rows], np.float32)
    return Served(
        features=pa.table({"load": pa.array(np.full(len(rows), 0.5, np.float32))}),
        answers=pa.table({"probabilities": answers}),
        versions=np.ones(len(rows), np.int64),
        about=[str(entity) for entity, _ in rows],
        observed=np.array([BEGIN + place * 3 * HOUR + late for _, place in rows]),
        request=np.arange(len(rows)),
        requests=len(rows),
        drawn_of=len(rows),
        damaged=[],
    )


def measured(settings: Settings, served, auc: float | None = 0.9):
    from tensorflow_metadata.proto.v0 import schema_pb2

    from pipeline.monitor.baseline import Baseline
    from pipeline.monitor.quality import measure

    metrics = {"auc": auc, "example_count": 5_000.0}
    return measure(settings, served, Baseline(1, {}, schema_pb2.Schema(), {}, None, metrics))


def good(entity: int, place: int) -> float:
    """Knows who fails and when, but for one entity in ten."""
    fails = entity < 10 and place > 7
    return 0.8 - entity / 100 if fails and entity else 0.01 * (entity % 7)


def test_a_model_that_is_as_good_as_ever(tmp_path: Path) -> None:
    quality, (lost,) = measured(settings_of(tmp_path), served(good))
    assert quality.score.value > 0.9
    # The last twelve hours' labels may still change.
    assert (quality.labelled, quality.answers) == (ENTITIES * (TIMES - 4), ENTITIES * TIMES)
    assert not lost.moved and lost.distance == 0


def test_a_model_that_lost(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    quality, (lost,) = measured(settings, served(lambda e, p: 1 - good(e, p)))
    assert quality.score.value < 0.1
    assert lost.moved and (lost.kind, lost.feature) == ("quality", "auc")
    assert lost.allowed == 0.02
    assert lost.seen.endswith("0.900 when released")


def test_predictions_between_two_rows_of_the_spine(tmp_path: Path) -> None:
    quality, lost = measured(settings_of(tmp_path), served(good, late=HOUR))
    assert (quality.labelled, quality.score, lost) == (0, None, [])
    assert quality.told == "too few labels are there yet"
    later = settings_of(tmp_path, label_tolerance="2h")
    quality, _ = measured(later, served(good, late=HOUR))
    assert quality.labelled == ENTITIES * (TIMES - 4) and quality.score is not None


def test_a_client_that_names_what_the_spine_cannot_have(tmp_path: Path) -> None:
    odd = served(good)
    odd.about[0], odd.about[30], odd.about[60] = "pump", "9" * 30, "77"  # type: ignore[index]
    quality, _ = measured(settings_of(tmp_path), odd)
    assert quality.labelled == ENTITIES * (TIMES - 4) - 3


def test_what_cannot_be_measured_is_told(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    quality, lost = measured(settings, served(lambda entity, place: 0.5), auc=None)
    assert quality.score.value == 0.5 and not lost  # nothing to compare with
    nobody = served(good)
    object.__setattr__(nobody, "about", [None] * len(nobody.about))
    quality, lost = measured(settings, nobody)
    assert "x-observation" in quality.told and not lost
    others = served(good)
    object.__setattr__(others, "versions", others.versions + 1)
    quality, _ = measured(settings, others)
    assert quality.answers == 0
