"""How ``submit`` reaches Kubeflow Pipelines: ``kubeflow.auth`` and ``kubeflow.tls``.

Secrets stand in environment variables; settings name the variable.
"""

from typing import Annotated, Literal

import pydantic

from pipeline.settings.fields import FROZEN, EnvName, Switch, Text


class NoAuth(pydantic.BaseModel):
    """A server that asks nobody: one that is reached by ``kubectl port-forward``."""

    model_config = FROZEN

    kind: Literal["none"] = "none"


class TokenAuth(pydantic.BaseModel):
    """A bearer token. ``token_env`` names the variable that holds it."""

    model_config = FROZEN

    kind: Literal["token"]
    token_env: EnvName = "KFP_TOKEN"


class CookieAuth(pydantic.BaseModel):
    """Cookies of a browser's session, written ``name=value; name=value``."""

    model_config = FROZEN

    kind: Literal["cookie"]
    cookies_env: EnvName = "KFP_COOKIES"


class DexAuth(pydantic.BaseModel):
    """A user of Dex, as Kubeflow and deployKF have it; ``connector`` is where Dex looks it up."""

    model_config = FROZEN

    kind: Literal["dex"]
    username_env: EnvName = "DEX_USERNAME"
    password_env: EnvName = "DEX_PASSWORD"
    connector: Literal["local", "ldap"] = "local"


class ServiceAccountAuth(pydantic.BaseModel):
    """The pod's own service account, inside the cluster: a projected token for Kubeflow Pipelines.

    ``token_file`` is where it is mounted; left out, kfp's own default holds:
    ``KF_PIPELINES_SA_TOKEN_PATH``, else ``/var/run/secrets/kubeflow/pipelines/token``.
    """

    model_config = FROZEN

    kind: Literal["service_account"]
    token_file: Text | None = None


Auth = Annotated[
    NoAuth | TokenAuth | CookieAuth | DexAuth | ServiceAccountAuth,
    pydantic.Field(discriminator="kind"),
]


class Tls(pydantic.BaseModel):
    """The server's certificate: ``ca_cert`` is a file of a private authority, in PEM."""

    model_config = FROZEN

    ca_cert: Text | None = None
    verify: Switch = True
