"""A client of MLflow that gives up soon, says nothing to its makers, and hides passwords."""

import os
import re
from typing import Any

MISSING = (
    "MLflow is not installed: `make doctor` installs it where settings.yaml has registry:, "
    "elsewhere pip install 'tfx-pipeline-template[mlflow]' does"
)

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # MLflow's own are 120 s and seven more attempts: a server that hangs would hold us for hours.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}


def connect(uri: str) -> Any:
    """Opens MLflow's tracking store and registry; a new ``sqlite:///`` file is made.

    Args:
      uri: the tracking URI.

    Returns:
      An ``mlflow.MlflowClient``.

    Raises:
      RuntimeError: if MLflow is not installed.
      Exception: MLflow's own if a database cannot be opened.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow
    except ImportError as error:
        raise RuntimeError(f"{MISSING} ({error})") from error
    return mlflow.MlflowClient(uri, uri)


def words(error: BaseException) -> str:
    """An error on one line, without the user and password of a URL in it.

    MLflow's error about a request repeats those of two libraries below it; the system's says why.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    request, failed, _ = text.partition(" failed with exception")
    cause = _innermost(error)
    if failed and isinstance(cause, OSError):
        text = f"{request} failed: {cause.strerror or cause}"
    return re.sub(r"://[^\s'\"]*@", "://***@", text).rstrip(".")


def _innermost(error: BaseException) -> BaseException:
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return error
