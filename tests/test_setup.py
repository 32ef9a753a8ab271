"""setup.py packages all that Beam's workers and a container need."""

import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
import yaml
from apache_beam.runners.portability.stager import Stager

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("components", "demo", "observability", "pipeline", "schemas", "serving", "trainer")


@pytest.fixture
def checkout(tmp_path: pathlib.Path) -> pathlib.Path:
    """What setup.py reads, in a folder that it may write to."""
    ignored = shutil.ignore_patterns("__pycache__")
    (tmp_path / "schemas").mkdir()
    for name in (*FOLDERS, "requirements"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored, dirs_exist_ok=True)
    # A project that `init` has not made one for has none.
    (tmp_path / "schemas/schema.pbtxt").touch()
    for name in ("setup.py", "README.md", "LICENSE", "MANIFEST.in", "settings.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def needed() -> set[str]:
    modules = {
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for kind in ("py", "css", "html")
        for path in (ROOT / folder).rglob(f"*.{kind}")
    }
    return modules | {"schemas/schema.pbtxt", "demo/README.md"}


def test_wheel_holds_every_module_and_the_schema(checkout: pathlib.Path) -> None:
    built = subprocess.run(
        [sys.executable, "setup.py", "-q", "bdist_wheel"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = (checkout / "dist").glob("*.whl")
    name = yaml.safe_load((ROOT / "settings.yaml").read_text())["project"]["name"]
    assert wheel.name.startswith(f"{name.replace('-', '_')}-")
    packed = {n for n in zipfile.ZipFile(wheel).namelist() if n.startswith(FOLDERS)}
    assert packed == needed()


def test_beam_makes_the_same_of_it_for_workers_in_stock_images(checkout: pathlib.Path) -> None:
    made = Stager._build_setup_package(str(checkout / "setup.py"), str(checkout / "sent"))
    with tarfile.open(made) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert needed() <= packed
