"""The programs that `make test-services` installs."""

import os
import shutil


def program(name: str) -> str:
    """The path of a program from the system's packages.

    Raises:
      RuntimeError: if it is not installed; a test without it fails, and is not skipped.
    """
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if path is None:
        raise RuntimeError(f"{name} is not installed: `make test-services` installs it")
    return path
