"""Settings of the mirror: what stands under ``registry:`` in settings.yaml."""

import os
import re
from typing import Annotated, Literal

import pydantic

from components.ingest.fields import FROZEN, Switch, Text, naming_variable

_URI = re.compile(r"sqlite:///.+|https?://.+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Registry(pydantic.BaseModel):
    """Where releases are mirrored.

    Attributes:
      kind: ``mlflow``.
      tracking_uri_env: the environment variable that holds MLflow's tracking URI, which may carry
        a password.
      tracking_uri: the tracking URI where that variable is not set.
      model: the registered model's name; by default the served model's.
      experiment: the experiment of the runs that hold metrics and lineage; by default the
        registered model's name.
      log_artifacts: whether the model's files are copied into MLflow's artifact store; else a
        model version says where they lie.
    """

    model_config = FROZEN

    kind: Literal["mlflow"]
    tracking_uri_env: Annotated[str, naming_variable("MLFLOW_TRACKING_URI")] | None = None
    tracking_uri: Text | None = None
    model: Text | None = None
    experiment: Text | None = None
    log_artifacts: Switch = False

    @pydantic.field_validator("tracking_uri")
    @classmethod
    def _uri_is_one(cls, value: str | None) -> str | None:
        if value is not None and not _URI.fullmatch(value):
            raise ValueError(
                "expected 'sqlite:///var/mlflow.db' or a server such as 'https://mlflow.example'; "
                "what carries a password goes into the variable that tracking_uri_env names"
            )
        return value

    @pydantic.field_validator("model")
    @classmethod
    def _model_is_a_name(cls, value: str | None) -> str | None:
        if value is not None and not _NAME.fullmatch(value):
            raise ValueError("expected letters, digits, '-', '_' and '.', such as 'plant-failures'")
        return value

    @pydantic.model_validator(mode="after")
    def _says_where(self) -> "Registry":
        if self.tracking_uri_env is None and self.tracking_uri is None:
            raise ValueError(
                "says not where: name tracking_uri_env, tracking_uri such as "
                "'sqlite:///var/mlflow.db', or both"
            )
        return self

    def uri(self) -> str:
        """MLflow's tracking URI; it may hold a password.

        Raises:
          ValueError: if the environment variable that holds it is not set.
        """
        uri = os.environ.get(self.tracking_uri_env or "") or self.tracking_uri
        if uri is None:
            raise ValueError(
                f"{self.tracking_uri_env} is not set: "
                f"export {self.tracking_uri_env}=https://user:password@mlflow.example"
            )
        return uri
