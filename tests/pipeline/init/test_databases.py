"""From a database to settings whose sources answer, on each kind of database."""

import contextlib
import datetime

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from components.ingest import sql
from components.ingest.split import data_window
from pipeline.init import command
from pipeline.local.plan import resolve_as_of
from pipeline.settings import load_settings
from tests.pipeline.init.conftest import BEGIN, HORIZON, HOURS, MACHINES, failures, fill

URL_ENV = "INIT_TEST_URL"


@contextlib.contextmanager
def sqlite_url():
    yield "sqlite:///plant.db"


@contextlib.contextmanager
def postgres_url():
    from tests.postgres import Postgres

    with Postgres() as server:
        yield server.url


@contextlib.contextmanager
def mariadb_url():
    from tests.mariadb import MariaDb

    with MariaDb() as server:
        yield server.url


@pytest.fixture(
    scope="module",
    params=[
        sqlite_url,
        postgres_url,
        pytest.param(mariadb_url, marks=pytest.mark.services),
    ],
)
def proposed(request, tmp_path_factory):
    """What ``init --yes`` says and writes; the database lives on."""
    with pytest.MonkeyPatch.context() as patch, request.param() as url:
        patch.chdir(tmp_path_factory.mktemp("project"))
        drivers = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
        kind, rest = url.split("://")
        engine = sa.create_engine(f"{drivers.get(kind, kind)}://{rest}")
        fill(engine)
        engine.dispose()
        patch.setenv(URL_ENV, url)
        done = CliRunner().invoke(
            command,
            ["--url-env", URL_ENV, "--yes", "--no-schema", "--name", "plant"],
            obj="settings.yaml",
        )
        assert done.exit_code == 0, done.output
        yield done.output, load_settings("settings.yaml")


def test_each_table_plays_its_part(proposed):
    told, settings = proposed
    assert list(settings.sources) == ["observations", "errors", "failures", "telemetry"]
    errors, telemetry = settings.sources["errors"], settings.sources["telemetry"]
    assert (errors.entity, errors.time, errors.known_at) == (
        "machine_id",
        "raised_at",
        "recorded_at",
    )
    assert errors.windows[0].aggregate == {
        "event": ["count"],
        "it_s_0_0": ["count"],
        "it_s_1_0": ["count"],
        "it_s_2_0": ["count"],
    }
    assert telemetry.windows[0].features()[:2] == ["volt_mean_3h", "volt_std_3h"]
    assert settings.features.numeric == ["age", "errors_*", "failures_*", "telemetry_*"]
    assert list(settings.features.categorical) == ["Model Name"]
    for reason in (
        "constant: always one",
        "free text or an id",
        "tells of the failure itself",
        "every 3h",
    ):
        assert reason in told


def test_no_secret_is_written(proposed):
    from pathlib import Path

    told, settings = proposed
    assert settings.spine_source.url is None
    assert settings.spine_source.url_env == URL_ENV
    assert "secret" not in Path("settings.yaml").read_text() + told


def test_the_split_fits_and_no_label_is_unsettled(proposed):
    _, settings = proposed
    window = data_window(resolve_as_of(settings, None), settings.split, settings.label.horizon)
    first, last = (
        int(at.replace(tzinfo=datetime.timezone.utc).timestamp() * 1e6)
        for at in (BEGIN, BEGIN + datetime.timedelta(hours=HOURS))
    )
    assert first <= window.begin < window.train_end < window.eval_begin
    assert window.end <= last - settings.label.horizon


def test_the_label_is_whether_a_failure_follows(proposed):
    _, settings = proposed
    window = data_window(resolve_as_of(settings, None), settings.split, settings.label.horizon)
    times = sql.Times(window.begin, window.end, window.as_of)
    rows = [
        row
        for batch in sql.read_source("observations", settings.spine_source, times)
        for row in batch.to_pylist()
    ]
    assert len(rows) == pytest.approx((window.end - window.begin) / 3.6e9 / 3 * MACHINES, abs=4)
    assert 0.1 < sum(row["failures_within_24h"] for row in rows) / len(rows) < 0.9
    for row in rows:
        at = datetime.datetime.fromtimestamp(row["observed_at"] / 1e6, datetime.timezone.utc)
        at = at.replace(tzinfo=None)
        follows = any(
            machine == row["id"] and at < failed <= at + HORIZON for machine, failed in failures()
        )
        assert row["failures_within_24h"] == follows


def test_events_of_each_kind_are_told_apart(proposed):
    _, settings = proposed
    times = sql.Times(0, 4 * 10**15, 4 * 10**15)
    rows = [
        row
        for batch in sql.read_source("errors", settings.sources["errors"], times)
        for row in batch.to_pylist()
    ]
    assert len(rows) == 120
    kinds = ("it_s_0_0", "it_s_1_0", "it_s_2_0")
    assert [sum(row[kind] or 0 for row in rows) for kind in kinds] == [40, 40, 40]
