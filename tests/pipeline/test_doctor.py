"""What doctor finds and how it is told."""

import importlib.metadata
import pathlib
import platform

import pytest

from pipeline import doctor, stacks
from tests import demo_project


def findings(settings: str = str(demo_project.SETTINGS)) -> dict[str, doctor.Finding]:
    return {f.what: f for f in doctor.examine(pathlib.Path(settings), import_tfx=False)}


def test_this_machine_can_run_the_pipeline() -> None:
    found = findings()
    assert [f for f in found.values() if f.verdict == "lacks"] == []
    assert found["PostgreSQL driver"].verdict == "ok"
    assert found["Packages"].seen.startswith("tfx 1.")


def test_wrong_python_is_told_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.sys, "version_info", (3, 9, 1, "final", 0))
    monkeypatch.setattr(platform, "python_version", lambda: "3.9.1")
    found = findings()["Python"]
    assert found.verdict == "lacks"
    assert "3.9.1" in found.seen
    assert "3.11, 3.12, 3.13 (TFX 1.21), 3.10 (TFX 1.16)" in found.mend
    assert "make run" in found.mend


def on_machine(
    monkeypatch: pytest.MonkeyPatch, glibc: str | None, glibcxx: str, python: tuple[int, int]
) -> dict[str, doctor.Finding]:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(stacks, "glibc", lambda: glibc)
    monkeypatch.setattr(stacks, "newest_glibcxx", lambda: glibcxx)
    monkeypatch.setattr(doctor.sys, "version_info", (*python, 1, "final", 0))
    return findings()


def test_machine_that_cannot_load_the_newest_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    found = on_machine(monkeypatch, "2.36", "GLIBCXX_3.4.30", (3, 10))
    assert found["Platform"].seen == "Linux x86_64, glibc 2.36, GLIBCXX_3.4.30"
    newest, oldest = found["TFX 1.21 stack"], found["TFX 1.16 stack"]
    assert (newest.verdict, newest.seen) == ("note", "cannot be loaded here")
    assert "glibc 2.39" in newest.mend
    assert (oldest.verdict, oldest.seen) == ("ok", "in use")


def test_machine_that_can_load_both_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = on_machine(monkeypatch, "2.41", "GLIBCXX_3.4.33", (3, 13))
    assert found["TFX 1.21 stack"].seen == "in use"
    assert found["TFX 1.16 stack"].seen == "can be loaded here, not in use"
    assert "TFX=1.16 make run" in found["TFX 1.16 stack"].mend


def test_old_c_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = on_machine(monkeypatch, "2.12", "GLIBCXX_3.4.10", (3, 10))
    assert found["Platform"].verdict == "lacks"
    assert "glibc 2.17" in found["TFX 1.16 stack"].mend
    found = on_machine(monkeypatch, None, "GLIBCXX_3.4.30", (3, 10))
    assert "not glibc" in found["TFX 1.16 stack"].mend


def test_packages_of_another_stack_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.15.0")
    found = findings()["Packages"]
    assert found.verdict == "lacks"
    assert "this project runs TFX 1." in found.mend


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "tfx-bsl":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = findings()["Packages"]
    assert (found.verdict, found.seen) == ("lacks", "missing: tfx-bsl")


def test_unset_variable_is_told_with_an_example(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLANT_DB_URL", raising=False)
    text = demo_project.SETTINGS.read_text()
    kept = [line for line in text.splitlines() if "url: sqlite" not in line]
    path = tmp_path / "settings.yaml"
    path.write_text("\n".join(kept))
    found = findings(str(path))["observations"]
    assert found.verdict == "lacks"
    assert found.mend.startswith("export PLANT_DB_URL=")


def test_registry_that_does_not_answer_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIRROR_AT", raising=False)
    found = doctor.registry("served", {"kind": "mlflow", "tracking_uri_env": "MIRROR_AT"})
    assert (found.what, found.verdict) == ("Registry", "note")
    assert found.seen.startswith("MIRROR_AT is not set: export MIRROR_AT=https://")
