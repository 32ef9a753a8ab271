"""Who submit is to the server: what settings name, read from the environment."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import requests

from pipeline.kubeflow.submit import dex
from pipeline.kubeflow.submit.errors import SubmitError

if TYPE_CHECKING:
    from pipeline.settings.access import Auth

# Those of kfp.client, whose import takes seconds.
TOKEN_FILE = "/var/run/secrets/kubeflow/pipelines/token"
TOKEN_FILE_ENV = "KF_PIPELINES_SA_TOKEN_PATH"


@dataclasses.dataclass(frozen=True)
class Login(requests.auth.AuthBase):
    """What goes with each request.

    Attributes:
      told: where it comes from, for messages: never what it is.
      token: a bearer token.
      cookies: ``name=value; name=value``.
      token_file: a file that holds a bearer token, which its owner renews.
    """

    told: str
    token: str | None = dataclasses.field(default=None, repr=False)
    cookies: str | None = dataclasses.field(default=None, repr=False)
    token_file: str | None = None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Puts it on a request. Being there also keeps requests from taking one from ~/.netrc."""
        token = self.token
        if self.token_file:
            token = read_token(self.token_file)
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        if self.cookies:
            request.headers["Cookie"] = self.cookies
        return request


def log_in(
    auth: "Auth",
    host: str,
    session: requests.Session,
    environ: Mapping[str, str] = os.environ,
) -> Login:
    """Reads what the settings name; with Dex, logs in.

    Args:
      auth: the settings.
      host: the server's URL.
      session: makes Dex's requests.
      environ: holds the secrets.

    Raises:
      SubmitError: if a variable or a file is missing, or if Dex refuses.
      requests.RequestException: if Dex cannot be reached.
    """
    if auth.kind == "token":
        return Login(f"the token in {auth.token_env}", token=_secret(auth.token_env, environ))
    if auth.kind == "cookie":
        cookies = _secret(auth.cookies_env, environ)
        return Login(f"the cookies in {auth.cookies_env}", cookies=cookies)
    if auth.kind == "dex":
        user = _secret(auth.username_env, environ)
        password = _secret(auth.password_env, environ)
        cookies = dex.session_cookies(session, host, user, password, auth.connector)
        return Login(f"the user in {auth.username_env}", cookies=cookies)
    if auth.kind == "service_account":
        path = auth.token_file or environ.get(TOKEN_FILE_ENV) or TOKEN_FILE
        read_token(path)
        return Login(f"the service account's token in {path}", token_file=path)
    return Login("no login (kubeflow.auth.kind is 'none')")


def read_token(path: str) -> str:
    """A service account's token.

    Raises:
      SubmitError: if there is none.
    """
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SubmitError(
            f"{path}: {error.strerror}. kubeflow.auth.kind 'service_account' is for pods in the "
            "cluster: mount a projected service account token there, or name where it is as "
            "kubeflow.auth.token_file"
        ) from None


def _secret(name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise SubmitError(f"the environment variable {name}, which kubeflow.auth names, is not set")
    if not (value.isascii() and value.isprintable()):
        raise SubmitError(
            f"what {name} holds cannot be a login: expected one line of ASCII characters"
        )
    return value
