"""What doctor finds and how it is told."""

import importlib.metadata
import pathlib
import platform

import pytest

from pipeline import doctor


def findings(settings: str = "settings.yaml") -> dict[str, doctor.Finding]:
    return {f.what: f for f in doctor.examine(pathlib.Path(settings), import_tfx=False)}


def test_this_machine_can_run_the_pipeline() -> None:
    found = findings()
    assert [f for f in found.values() if f.verdict == "lacks"] == []
    assert found["PostgreSQL driver"].verdict == "ok"
    assert found["TFX stack"].seen.startswith("tfx 1.")


def test_wrong_python_is_told_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.sys, "version_info", (3, 12, 1, "final", 0))
    monkeypatch.setattr(platform, "python_version", lambda: "3.12.1")
    found = findings()["Python"]
    assert found.verdict == "lacks"
    assert "3.12.1" in found.seen
    assert "make run" in found.mend


def test_old_c_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.12"))
    assert "glibc 2.17" in findings()["Platform"].mend
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert "musl" in findings()["Platform"].mend


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "tfx-bsl":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = findings()["TFX stack"]
    assert (found.verdict, found.seen) == ("lacks", "missing: tfx-bsl")


def test_unset_variable_is_told_with_an_example(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLANT_DB_URL", raising=False)
    text = pathlib.Path("settings.yaml").read_text()
    kept = [line for line in text.splitlines() if "url: sqlite" not in line]
    path = tmp_path / "settings.yaml"
    path.write_text("\n".join(kept))
    found = findings(str(path))["observations"]
    assert found.verdict == "lacks"
    assert found.mend.startswith("export PLANT_DB_URL=")
