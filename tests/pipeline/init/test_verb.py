"""What a user meets: questions, options, refusals, and what is written."""

import datetime
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner

from components.curated_schema import schema_file
from pipeline.init import command
from pipeline.settings import load_settings
from tests import demo_project

ROOT = pathlib.Path(__file__).resolve().parents[3]
PLANT = ["--url", "sqlite:///plant.db"]
SHOP = ["--url", "sqlite:///shop.db"]


def call(*words, answers=None, code=0):
    done = CliRunner().invoke(
        command, [*words, "--no-schema"], obj="settings.yaml", input=answers, color=False
    )
    assert done.exit_code == code, done.output or done.exception
    return done.output


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Daily sales of stores, and batches with a grade."""
    monkeypatch.chdir(tmp_path)
    draw = random.Random(2)
    begin = datetime.datetime(2025, 1, 1)
    with sqlite3.connect("shop.db") as db:
        db.execute("CREATE TABLE stores (store_id INTEGER PRIMARY KEY, region TEXT)")
        db.executemany("INSERT INTO stores VALUES (?, ?)", [(n, "NS"[n % 2]) for n in range(5)])
        db.execute(
            "CREATE TABLE sales (store_id INTEGER, day DATE, promo BOOLEAN, sold REAL, vat REAL)"
        )
        db.execute("CREATE TABLE empty (store_id INTEGER, day DATE)")
        for n in range(100):
            for store in range(5):
                sold = None if n == 3 else draw.gauss(100, 9)
                row = (store, (begin + datetime.timedelta(days=n)).strftime("%Y-%m-%d"), n % 7 == 0)
                db.execute("INSERT INTO sales VALUES (?, ?, ?, ?, ? * 0.19)", (*row, sold, sold))
    with sqlite3.connect("batches.db") as db:
        db.execute(
            "CREATE TABLE batches (batch TEXT PRIMARY KEY, made_at TIMESTAMP,"
            " released_at TIMESTAMP, heat REAL, grade TEXT, grade_code INTEGER)"
        )
        for n in range(300):
            at, grade = begin + datetime.timedelta(hours=n), draw.randrange(3)
            later = at + datetime.timedelta(hours=5)
            row = (f"B{n}", str(at), str(later), draw.random(), "ABC"[grade], grade)
            db.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)", row)
    return tmp_path


def test_enter_takes_every_proposal(sqlite_plant, monkeypatch):
    monkeypatch.setenv("PLANT_DB_URL", sqlite_plant)
    told = call(answers="\n" * 8)
    assert "[PLANT_DB_URL]" in told
    assert "1  an event of failures comes" in told
    settings = load_settings("settings.yaml")
    assert settings.spine_source.url_env == "PLANT_DB_URL"
    assert settings.label.name == "failures_within_24h"


def test_answers_change_what_is_written(sqlite_plant):
    answers = [sqlite_plant, "", "no such", "errors", "3 hours", "12h", "6h", "Plant!", "mill", "y"]
    told = call(answers="\n".join(answers) + "\n")
    assert "expected a number of the list" in told
    assert "expected a duration such as '3h'" in told
    assert "expected lower-case letters" in told
    settings = load_settings("settings.yaml")
    assert settings.project.name == "mill"
    assert settings.label.name == "errors_within_12h"
    assert "INTERVAL" not in settings.spine_source.query
    assert "+6 hours" in settings.spine_source.query


def test_a_no_writes_nothing(sqlite_plant):
    told = call(*PLANT, "--name", "p", answers="\n\n\n\nn\n", code=1)
    assert "Nothing was written" in told
    assert not pathlib.Path("settings.yaml").exists()


def test_an_end_in_the_middle_leaves_nothing(sqlite_plant):
    told = call(*PLANT, answers="\n\n", code=130)
    assert "Stopped" in told
    assert sorted(p.name for p in pathlib.Path().iterdir()) == ["plant.db"]


def test_the_demos_settings_are_replaced_and_kept(sqlite_plant):
    text = demo_project.SETTINGS.read_text()
    pathlib.Path("settings.yaml").write_text(text.replace("plant-failures", "my-plant"))
    pathlib.Path("schemas").mkdir()
    pathlib.Path("schemas/schema.pbtxt").write_text("feature {}")
    told = call(*PLANT, "--yes")
    assert "settings.yaml is kept as settings.yaml.before-init" in told
    assert load_settings("settings.yaml").project.name == "my-plant"
    assert not pathlib.Path("schemas/schema.pbtxt").exists()
    assert pathlib.Path("schemas/schema.pbtxt.before-init").read_text() == "feature {}"


def test_own_settings_are_replaced_by_force_only(sqlite_plant):
    call(*PLANT, "--yes")
    before = pathlib.Path("settings.yaml").read_text()
    told = call(*PLANT, "--yes", "--horizon", "12h", code=1)
    assert "these settings are your own" in told and "--force" in told
    assert pathlib.Path("settings.yaml").read_text() == before
    for copy in ("settings.yaml.before-init", "settings.yaml.before-init2"):
        call(*PLANT, "--yes", "--horizon", "12h", "--force")
        assert pathlib.Path(copy).exists()
    assert load_settings("settings.yaml").label.horizon == 12 * 3_600_000_000


def test_a_regression_without_sensors(shop):
    told = call(*SHOP, "--yes", "--label", "sold")
    settings = load_settings("settings.yaml")
    assert (settings.label.task, settings.spine_source.entity) == ("regression", "store_id")
    assert settings.features.numeric == ["promo"]
    # A model that always answers the mean is off by the deviation, which is 9 here.
    assert 8 < settings.evaluation.metrics["root_mean_squared_error"].max < 10
    assert list(settings.features.categorical) == ["region"]
    assert "leaks: it follows the label exactly" in told
    assert "s.sold IS NOT NULL" in settings.spine_source.query
    assert "empty: left out: it has no rows" in told


def test_a_multiclass_label_of_rows_that_are_each_their_own(shop):
    told = call("--url", "sqlite:///batches.db", "--yes", "--force")
    settings = load_settings("settings.yaml")
    assert (settings.label.name, settings.label.task) == ("grade", "multiclass")
    assert settings.spine_source.entity == "batch"
    assert settings.features.numeric == ["heat"]
    assert "leaks: it is the label in other words" in told
    assert "lies after the observation" in told


def test_a_query_of_ones_own_is_the_spine(shop):
    query = "SELECT store_id, day, promo, sold > 100 AS good FROM sales WHERE sold IS NOT NULL"
    call(*SHOP, "--yes", "--query", query, "--label", "good", "--name", "q")
    settings = load_settings("settings.yaml")
    assert settings.label.task == "binary"
    assert "sold > 100 AS good" in settings.spine_source.query
    assert "sales" not in settings.sources


def test_data_that_go_on_until_today_run_at_now(shop):
    now = datetime.datetime.now(datetime.timezone.utc)
    with sqlite3.connect("live.db") as db:
        db.execute("CREATE TABLE status (pump_id INTEGER, ts INTEGER, heat REAL, failed INTEGER)")
        for n in range(300):
            ts = int(now.timestamp()) - n * 3600
            db.execute("INSERT INTO status VALUES (?, ?, ?, ?)", (n % 3, ts, n * 0.5, n % 2))
    call("--url", "sqlite:///live.db", "--yes", "--table", "status")
    settings = load_settings("settings.yaml")
    assert settings.as_of == "now"
    assert settings.spine_source.time_unit == "s"
    assert (settings.label.name, settings.label.task) == ("failed", "binary")


def test_a_table_of_another_time_is_left_out(shop):
    with sqlite3.connect("shop.db") as db:
        db.execute("CREATE TABLE readings (store_id INTEGER, at TIMESTAMP, x REAL)")
        for n in range(100):
            db.execute("INSERT INTO readings VALUES (1, ?, ?)", (f"2030-01-{n % 28 + 1:02}", n / 3))
    told = call(*SHOP, "--yes", "--label", "sold")
    assert "no row in the observations' time" in told
    assert list(load_settings("settings.yaml").sources) == ["observations"]


def test_a_view_is_taken_if_it_is_named(shop):
    with sqlite3.connect("shop.db") as db:
        db.execute("CREATE VIEW big AS SELECT *, sold > 100 AS target FROM sales")
    told = call(*SHOP, "--yes", "--label", "sold")
    assert "big: left out: a view: say --table to take it" in told
    call(*SHOP, "--yes", "--table", "big", "--force")
    assert "FROM big AS s" in load_settings("settings.yaml").spine_source.query


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--url", "postgresql://me:hunter2@host/db"], "it holds a password"),
        ([*SHOP, "--timezone", "Europe/Berln"], "did you mean 'Europe/Berlin'?"),
        (["--url", "nonsense"], "it is no database URL"),
        (["--url-env", "postgresql://x"], "it is no name of an environment variable"),
        (["--url-env", "NOT_SET_AT_ALL"], "it is not set"),
        (["--url", "sqlite:///none.db"], "there is no file"),
        (["--url", "postgresql://127.0.0.1:1/none"], "no database answers there"),
        (["--url", "sqlite:///void.db"], "no table can be read"),
        ([*SHOP, "--label", "solt"], "did you mean 'sold'?"),
        ([*SHOP, "--table", "sails"], "did you mean 'sales'?"),
        ([*SHOP, "--entity", "shop_id"], "did you mean 'store_id'?"),
        ([*SHOP, "--time", "sold"], "There are day"),
        ([*SHOP, "--label-events", "stores"], "there is none of this name"),
        ([*SHOP], "no name tells for sure"),
        ([*SHOP, "--label", "sold", "--task", "binary"], "is not 0 and 1 only"),
        ([*SHOP, "--label", "sold", "--horizon", "60d"], "too little is left"),
        ([*SHOP, "--query", "SELECT * FROM nowhere"], "the query names a table that is not there"),
        ([*SHOP, "--label", "sold", "--sensor", "no/*.csv"], "no file matches"),
        (["--url", "sqlite:///timeless.db"], "no table of the entity has a column of times"),
        (["--url", "sqlite:///nameless.db"], "no column tells which machine"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_written(shop, words, message):
    made = {
        "void.db": [],
        "timeless.db": [
            "CREATE TABLE t (machine_id INTEGER PRIMARY KEY, x REAL)",
            "INSERT INTO t VALUES (1, 2.0), (2, 3.0)",
        ],
        "nameless.db": [
            "CREATE TABLE t (x REAL, at TIMESTAMP)",
            "INSERT INTO t VALUES (1.0, '2025-01-01 00:00:00')",
        ],
    }
    for name, statements in made.items():
        with sqlite3.connect(name) as db:
            for statement in statements:
                db.execute(statement)
    told = call(*words, "--yes", code=1)
    assert message in told
    assert "hunter2" not in told
    assert not pathlib.Path("settings.yaml").exists()


def test_what_is_written_is_read_back_alike(sqlite_plant):
    call(*PLANT, "--yes")
    text = pathlib.Path("settings.yaml").read_text()
    assert "query: |" in text
    assert max(map(len, text.splitlines())) <= 110
    assert yaml.safe_load(text)["as_of"] == "2025-01-20T23:00:01Z"


def test_a_projects_start_is_replaced_and_what_it_was_baked_with_stays(sqlite_plant):
    pathlib.Path("settings.yaml").write_text(
        "# A start. `python -m pipeline init --url-env PLANT_DB_URL` looks at the database\n"
        "project: {name: pumps}\n"
        "training: {strategy: mirrored, epochs: 7, batch_size: 64}\n"
        "serving: {model: pumps, keep_versions: 9, rollout: canary}\n"
        "registry: {kind: mlflow, tracking_uri: sqlite:///var/mlflow.db}\n"
    )
    call(*PLANT, "--yes", "--name", "pump-failures")
    settings = load_settings("settings.yaml")
    assert (settings.training.strategy, settings.training.epochs) == ("mirrored", 7)
    assert (settings.serving.model, settings.serving.rollout) == ("pump-failures", "canary")
    assert settings.serving.keep_versions == 9
    assert settings.registry is not None and settings.registry.tracking_uri.endswith("mlflow.db")


def test_a_model_with_a_name_of_its_own_keeps_it(shop):
    pathlib.Path("settings.yaml").write_text(
        "project: {name: pumps}\nserving: {model: wear}\ntraining: {class_weights: balanced}\n"
    )
    call(*SHOP, "--label", "sold", "--yes", "--force")
    settings = load_settings("settings.yaml")
    assert (settings.label.task, settings.serving.model) == ("regression", "wear")


def test_ctrl_c_leaves_all_as_it_was(sqlite_plant):
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "init", *PLANT],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    told = b""
    while b"Sensor files" not in told:
        more = process.stdout.read1()
        assert more, told.decode()
        told += more
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130, rest.decode()
    assert "Stopped." in rest.decode()
    assert sorted(p.name for p in pathlib.Path().iterdir()) == ["plant.db"]


@pytest.mark.end_to_end
def test_the_schema_is_made_from_the_data(sqlite_plant):
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "init", *PLANT, "--yes"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "schemas/schema.pbtxt written: read it, commit it" in done.stdout
    settings = load_settings("settings.yaml")
    columns = schema_file.columns(schema_file.read_schema(settings.schema_file))
    assert settings.label.name in columns
    # All that training needs can be settled from the two files.
    assert settings.trainer_config(columns)["features"]["numeric"]


START = """\
# A start. `python -m pipeline init` looks at the database
project: {name: pumps}
spine: observations
sources:
  observations: {kind: sql, url_env: PUMPS, query: SELECT 1, entity: e, time: t}
"""
CLUSTER = """
serving: {directory: /mnt/plant/serving, model: pumps}
beam: {SqlExampleGen-old: {runner: direct}, Transform: {runner: direct, workers: 4}}
kubeflow:
  host: https://kfp.acme.test
  image: acme/pumps@sha256:
  pipeline_root: minio://b/c
  nodes:
    SqlExampleGen-observations: {memory: 8Gi, secrets: {OLD: {secret: acme, key: pumps}}}
    SqlExampleGen-old: {memory: 8Gi}
    Champion: {volumes: [{claim: acme, path: /mnt/plant}]}
"""


def test_what_a_start_was_answered_is_not_asked_again_and_the_cluster_follows(
    sqlite_plant, monkeypatch
):
    cluster = pathlib.Path("infra/kubeflow/settings.yaml")
    cluster.parent.mkdir(parents=True)
    cluster.write_text(START + CLUSTER.replace("sha256:", "sha256:" + "0" * 64))
    pathlib.Path("settings.yaml").write_text(START)
    monkeypatch.setenv("PUMPS", sqlite_plant)
    told = call(answers="\n" * 4)
    assert "Sensor files" not in told and "Project name" not in told
    here, there = load_settings("settings.yaml"), load_settings(cluster)
    assert here.project.name == "pumps" and here.kubeflow is None
    assert (there.sources, there.label, there.split) == (here.sources, here.label, here.split)
    assert there.serving.directory == "/mnt/plant/serving"
    assert list(there.beam) == ["Transform"]
    nodes = there.kubeflow.nodes
    assert set(nodes) == {"Champion"} | {f"SqlExampleGen-{name}" for name in here.sources}
    assert {nodes[n].secrets["PUMPS"].secret for n in nodes if n != "Champion"} == {"acme"}
    before = cluster.read_text()
    call(*PLANT, "--yes", "--force")
    assert cluster.read_text() == before, "a URL is no secret that a pod could be given"


def test_a_clusters_own_settings_stay(sqlite_plant, monkeypatch):
    cluster = pathlib.Path("infra/kubeflow/settings.yaml")
    cluster.parent.mkdir(parents=True)
    cluster.write_text("project: {name: mine}\n")
    monkeypatch.setenv("PUMPS", sqlite_plant)
    call("--url-env", "PUMPS", "--yes")
    assert cluster.read_text() == "project: {name: mine}\n"
