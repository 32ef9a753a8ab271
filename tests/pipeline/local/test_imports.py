"""What is left out while TFX is imported, and only then."""

import gc
import importlib.util
import pathlib
import sys

import pytest

from pipeline.local import imports


def test_unused_packages_are_absent_for_the_time_being(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "_UNUSED", ("this", "json"))
    monkeypatch.delitem(sys.modules, "this", raising=False)
    with pytest.raises(LookupError), imports.quick_imports():
        assert not gc.isenabled()
        with pytest.raises(ImportError):
            importlib.import_module("this")
        # One that is there already stays.
        assert importlib.import_module("json")
        raise LookupError
    assert gc.isenabled()
    assert importlib.import_module("this").s


def test_what_is_for_later_is_imported_when_it_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "heavy").mkdir()
    (tmp_path / "heavy/__init__.py").write_text("")
    (tmp_path / "heavy/part.py").write_text("class Thing: pass\n")
    (tmp_path / "asks.py").write_text(
        "from heavy import part\n"
        "def make(like: part.Thing = None) -> part.Thing:\n    return part.Thing()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(imports, "_LATER", ("heavy", "heavy.part"))
    try:
        with imports.quick_imports():
            asks = importlib.import_module("asks")
        assert "heavy" not in sys.modules
        made = asks.make()
        assert type(made) is importlib.import_module("heavy.part").Thing
    finally:
        for name in ("asks", "heavy", "heavy.part"):
            sys.modules.pop(name, None)


@pytest.mark.tfx
def test_what_is_left_out_is_there() -> None:
    # A name that a library has moved would be looked for in vain, and what it loads be loaded.
    for name in (*imports._UNUSED, *imports._LATER):
        assert name == "kubernetes_validate" or importlib.util.find_spec(name), name
