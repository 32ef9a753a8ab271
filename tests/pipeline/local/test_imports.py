"""What is left out while TFX is imported, and only then."""

import gc
import importlib
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
