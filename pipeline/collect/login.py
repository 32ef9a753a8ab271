"""What both clients need: that they are installed, and a login from the environment."""

import importlib
import os
from types import ModuleType

from pipeline.collect.messages import StreamError
from pipeline.settings.collect import Stream


def client(module: str, package: str) -> ModuleType:
    """Imports a broker's client.

    Raises:
      StreamError: if it isn't installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise StreamError(
            f"{package} is not installed ({error}): uv pip install -r requirements/streams.in, or "
            "install the package with its extra [streams]"
        ) from error


def login(stream: Stream) -> tuple[str, str | None] | None:
    """The user's name and password, if the settings name variables for them.

    Raises:
      StreamError: if a variable isn't set.
    """
    if stream.username_env is None:
        return None
    for name in (stream.username_env, stream.password_env):
        if name is not None and name not in os.environ:
            raise StreamError(f"the environment variable {name} isn't set: export {name}=…")
    password = None if stream.password_env is None else os.environ[stream.password_env]
    return os.environ[stream.username_env], password
