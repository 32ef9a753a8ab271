"""A small plant, its settings, and the examples that training makes of it."""

import dataclasses
import os
import pathlib

import pyarrow as pa
import pytest
import yaml
from tfx.types import standard_artifacts

from components.ingest.artifacts import QualityReport, Quarantine
from components.ingest.durations import format_duration
from components.ingest.examples import read_table, split_files
from components.ingest.sources import SqlSource
from components.ingest.split import DataWindow, read_window
from components.point_in_time_join.executor import Executor as JoinExecutor
from components.sensor_example_gen.executor import Executor as SensorExecutor
from components.sql_example_gen.executor import Executor as SqlExecutor
from demo.write import make_plant
from pipeline.settings import Settings, load_settings

ROOT = pathlib.Path(__file__).resolve().parents[3]
BEAM = ["--runner=FnApiRunner", "--sdk_container_image=none"]
AS_OF = "2025-02-08T00:00:00Z"


@dataclasses.dataclass
class Plant:
    """A plant's folder and settings."""

    folder: pathlib.Path
    settings_file: pathlib.Path
    settings: Settings

    @property
    def window(self) -> DataWindow:
        """The stretch of time that training's run covers."""
        return read_window(AS_OF, *self._split)

    @property
    def _split(self) -> tuple[str, str]:
        return self.settings.split.model_dump_json(), format_duration(self.settings.label.horizon)

    def trained(self) -> pa.Table:
        """What training's components read and join, run as the pipeline runs them."""
        settings, read = self.settings, {}
        split, horizon = self._split
        for name, source in settings.sources.items():
            is_sql = isinstance(source, SqlSource)
            outputs = {"examples": standard_artifacts.Examples(), "report": QualityReport()}
            if not is_sql:
                outputs["quarantine"] = Quarantine()
            what = {
                "name": name,
                "source": source.model_dump_json(),
                "as_of": AS_OF,
                "split": split,
                "horizon": horizon,
                "watermark": "",
                "spine": int(name == settings.spine),
            }
            self._run(SqlExecutor if is_sql else SensorExecutor, name, {}, outputs, what)
            read[name] = outputs["examples"]
        spine = read.pop(settings.spine)
        inputs = {"spine": [spine]} | {f"source_{name}": [made] for name, made in read.items()}
        outputs = {"examples": standard_artifacts.Examples(), "report": QualityReport()}
        what = {"settings": settings.join_settings(), "as_of": AS_OF, "code": ""}
        self._run(JoinExecutor, "join", inputs, outputs, what)
        uri = outputs["examples"].uri
        files = [file for part in ("train", "eval") for file in split_files(uri, part)]
        return read_table(files)

    def _run(self, executor, name, inputs, outputs, what) -> None:
        for key, artifact in outputs.items():
            artifact.uri = str(self.folder / "artifacts" / name / key)
        context = executor.Context(
            beam_pipeline_args=BEAM, tmp_dir=str(self.folder / "artifacts/tmp")
        )
        executor(context).Do(inputs, {key: [made] for key, made in outputs.items()}, what)


def make(folder: pathlib.Path) -> Plant:
    """Writes a plant of six machines over forty days, and settings fitted to it."""
    make_plant(folder / "var/demo", machines=6, days=40, seed=3)
    settings = yaml.safe_load((ROOT / "settings.yaml").read_text())
    settings["as_of"] = AS_OF
    settings["split"] = {"by": "time", "train": "24d", "eval": "9d"}
    settings["schema"] = str(ROOT / "schemas/schema.pbtxt")
    for source in settings["sources"].values():
        if source["kind"] == "sql":
            source["url"] = f"sqlite:///{folder}/var/demo/plant.db"
            source.pop("url_env", None)
        else:
            source["path"] = [f"{folder}/{path}" for path in source["path"]]
    file = folder / "settings.yaml"
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    return Plant(folder, file, load_settings(file))


@pytest.fixture(scope="session")
def plant(tmp_path_factory) -> Plant:
    """The plant; no test changes it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return make(tmp_path_factory.mktemp("online"))


@pytest.fixture(scope="session")
def trained(plant) -> pa.Table:
    """Training's joined examples, both splits."""
    return plant.trained()
