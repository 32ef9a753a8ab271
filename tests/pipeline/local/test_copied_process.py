"""The process that is copied for each stage."""

import os
import subprocess
import sys

import pytest

# pyarrow's allocator, jemalloc, and OpenBLAS put their threads away before a fork.
_PROGRAM = """
import pathlib
from pipeline.local.imports import quick_imports
with quick_imports():
    from pipeline.local import stages
import tensorflow as tf
import tensorflow_model_analysis as tfma
assert tfma.default_eval_shared_model
threads = {path.read_text().strip() for path in pathlib.Path("/proc/self/task").glob("*/comm")}
print(len(list(pathlib.Path("/proc/self/task").iterdir())), *sorted(threads - {"jemalloc_bg_thd"}))
"""


@pytest.mark.tfx
@pytest.mark.skipif(sys.platform != "linux", reason="stages are forked on Linux only")
def test_importing_all_that_stages_need_starts_no_thread() -> None:
    """A lock that another thread holds would stay locked in the copy."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count, *names = done.stdout.split()
    assert len(names) == 1
    assert int(count) <= 2
