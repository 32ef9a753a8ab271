"""TensorFlow's import without what its C++ code has to say of the machine."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Keeps standard error from the terminal meanwhile; an exception shows what was written.

    TensorFlow 2.21 tells of oneDNN and of GPUs that are not there while its libraries are loaded,
    whatever ``TF_CPP_MIN_LOG_LEVEL`` says (https://github.com/tensorflow/tensorflow/issues/100442).
    Standard error belongs to the process: for the main thread, before others write.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        except BaseException:
            written.seek(0)
            with open(terminal, "wb", closefd=False) as shown:
                shutil.copyfileobj(written, shown)
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
