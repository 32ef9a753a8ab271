"""Whether a host is Kubeflow Pipelines and takes the login, told within ten seconds.

kfp's client tells a wrong host or token by 25 seconds of tracebacks and a TimeoutError.
"""

import dataclasses

import requests

from pipeline.kubeflow.submit.errors import SubmitError
from pipeline.kubeflow.submit.login import Login

TIMEOUT = (3, 5)
"""Seconds for connecting, and for each answer."""

_MEND = {
    "none": "say kubeflow.auth.kind: token, cookie, dex or service_account",
    "other": "it may have expired, or be another server's",
}


@dataclasses.dataclass(frozen=True)
class Server:
    """What the server says of itself.

    Attributes:
      version: its release; empty where it does not say.
      multi_user: whether experiments and runs belong to namespaces.
    """

    version: str
    multi_user: bool


def look(session: requests.Session, host: str, login: Login, namespace: str | None) -> Server:
    """Asks for the server's health, and for a list that only a login may see.

    Args:
      session: makes the requests.
      host: the URL, without a slash at its end.
      login: goes with both requests.
      namespace: whose experiments to list, on a server with several users.

    Raises:
      SubmitError: if it is no such server, refuses, or needs a namespace.
      requests.RequestException: if a request fails.
    """
    session.auth = login
    health = _json(session, host, "healthz", {}, login)
    server = Server(str(health.get("tag_name") or ""), bool(health.get("multi_user")))
    if server.multi_user and not namespace:
        raise SubmitError(
            f"{host} has several users, and kubeflow.namespace is not set: name the namespace of "
            "your Kubeflow profile"
        )
    query = {"page_size": "1", "namespace": namespace if server.multi_user else ""}
    _json(session, host, "experiments", query, login)
    return server


def told(error: requests.RequestException, host: str) -> str:
    """Why a server cannot be reached, in plain words."""
    text = str(error)
    if isinstance(error, requests.exceptions.SSLError):
        why = "its certificate is not trusted: name your authority's as kubeflow.tls.ca_cert"
        if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
            why = "it does not speak TLS: does its URL begin with http://?"
    elif isinstance(error, requests.exceptions.Timeout):
        why = "it does not answer: is it the right address, and is a VPN or a tunnel needed?"
    elif "NameResolutionError" in text or "Failed to resolve" in text or "Name or service" in text:
        why = "there is no host of that name"
    elif "Connection refused" in text:
        why = "nothing listens there: is the port right, does the port-forward still run?"
    elif isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        why = "that is no URL such as 'https://kubeflow.example/pipeline'"
    else:
        why = text
    return f"{host} (kubeflow.host): {why}"


def _json(
    session: requests.Session, host: str, path: str, query: dict[str, str | None], login: Login
) -> dict[str, object]:
    url = f"{host}/apis/v2beta1/{path}"
    answer = session.get(url, params=query, timeout=TIMEOUT, allow_redirects=False)
    redirected = answer.is_redirect
    moved = answer.headers.get("Location", "").partition("?")[0]
    if redirected and moved.endswith(f"/apis/v2beta1/{path}"):
        better = moved.removesuffix(f"/apis/v2beta1/{path}")
        raise SubmitError(f"{host} has moved: set kubeflow.host to {better}")
    if redirected or answer.status_code in (401, 403):
        kind = "none" if login.told.startswith("no login") else "other"
        what = "sends to a login page" if redirected else f"answers {answer.status_code}"
        raise SubmitError(f"{host} does not take {login.told}: it {what}. {_MEND[kind]}")
    try:
        told = answer.json()
    except requests.exceptions.JSONDecodeError:
        told = None
    if answer.status_code >= 500:
        raise SubmitError(f"{host} is ill: {url} answers {answer.status_code}. Try again later")
    if not answer.ok or not isinstance(told, dict):
        raise SubmitError(
            f"{host} (kubeflow.host) is no Kubeflow Pipelines: {url} answers {answer.status_code}"
            f"{'' if isinstance(told, dict) else ' without JSON'}. Behind Kubeflow's dashboard its "
            "URL ends with /pipeline"
        )
    return told
