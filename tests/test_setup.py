"""setup.py packages all that Beam's workers and a container need."""

import pathlib
import shutil
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("components", "demo", "pipeline", "schemas", "serving", "trainer")


def test_wheel_holds_every_module_and_the_schema(tmp_path: pathlib.Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    for name in (*FOLDERS, "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("setup.py", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, tmp_path)
    built = subprocess.run(
        [sys.executable, "setup.py", "-q", "bdist_wheel"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    packed = {n for n in zipfile.ZipFile(wheel).namelist() if n.startswith(FOLDERS)}
    modules = {
        str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")
    }
    assert modules | {"schemas/schema.pbtxt", "demo/README.md"} == packed
