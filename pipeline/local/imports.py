"""Importing TFX in half the time."""

import contextlib
import gc
import sys
from collections.abc import Iterator

# The client of Kubernetes, which TFX loads for its InfraValidator, takes this along where it is
# installed, to check manifests; it compiles the grammar of addresses, which takes 1.6 s.
_UNUSED = ("kubernetes_validate",)


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Within it, imports find no optional package that no stage uses, and no garbage is looked for.

    Importing makes a million objects and hardly any garbage, and the collector looks at all of
    them again and again.
    """
    absent = [name for name in _UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    gc.disable()
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
        gc.enable()
        # So that no stage's process has to be the first that looks at them.
        gc.collect()
