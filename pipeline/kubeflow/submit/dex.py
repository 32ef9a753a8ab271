"""Logging in through Dex as a browser would, for Kubeflow and deployKF without a browser.

A request without a session is redirected to Dex's page (older Kubeflow's oidc-authservice), or
refused with a page that leads there (oauth2-proxy). Dex lets the user choose a connector, takes
name and password by a form and may ask for approval; the way back sets the session's cookies.
"""

import urllib.parse

import requests

from pipeline.kubeflow.submit.errors import SubmitError

TIMEOUT = (3, 5)
"""Seconds for connecting, and for each answer."""


def session_cookies(
    session: requests.Session, host: str, user: str, password: str, connector: str
) -> str:
    """Logs in.

    Args:
      session: makes the requests, and gathers the cookies.
      host: the server's URL.
      user: Dex's name of the user, mostly an e-mail address.
      password: the user's.
      connector: ``local`` for Dex's own users, ``ldap`` for a directory's.

    Returns:
      The session's cookies, ``name=value; name=value``.

    Raises:
      SubmitError: if there is no Dex, or if it refuses the login.
      requests.RequestException: if a request fails.
    """
    page = session.get(host, timeout=TIMEOUT)
    if page.status_code in (401, 403):
        start = urllib.parse.urljoin(page.url, "/oauth2/start")
        back = urllib.parse.urlsplit(page.url).path or "/"
        page = session.get(start, params={"rd": back}, timeout=TIMEOUT)
    if _path(page).endswith("/auth"):
        parts = urllib.parse.urlsplit(page.url)
        chosen = parts._replace(path=f"{parts.path}/{connector}")
        page = session.get(urllib.parse.urlunsplit(chosen), timeout=TIMEOUT)
    if not _path(page).endswith(f"/auth/{connector}/login"):
        raise SubmitError(
            f"{host} leads to no login page of Dex (it answered {page.status_code} at "
            f"{_without_query(page)}): see kubeflow.host, and kubeflow.auth.kind and connector"
        )
    form = {"login": user, "password": password}
    page = session.post(page.url, data=form, timeout=TIMEOUT)
    if _path(page).endswith(f"/auth/{connector}/login"):
        raise SubmitError(f"Dex at {_without_query(page)} refuses the user name or the password")
    if _path(page).endswith("/approval"):
        page = session.post(page.url, data={"approval": "approve"}, timeout=TIMEOUT)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in session.cookies)
    if not cookies:
        raise SubmitError(f"Dex took the login, and {_without_query(page)} set no cookie")
    return cookies


def _path(page: requests.Response) -> str:
    return urllib.parse.urlsplit(page.url).path.rstrip("/")


def _without_query(page: requests.Response) -> str:
    """The query holds the login's state, which is nobody's business."""
    return page.url.partition("?")[0]
