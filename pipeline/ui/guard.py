"""Who may ask: the user who started the page, in a browser on this machine.

Listening on loopback alone does not say so. Other users of the machine reach it too, so the address
that the verb prints carries a key, which becomes a cookie. Web pages reach it by a name that they
make resolve to 127.0.0.1 (DNS rebinding), so ``Host`` must be this machine's own. And pages of
other servers on this machine are the same site to a cookie, whatever their port, so a form must
come from this very ``Origin`` and bear a seal that only this server's pages hold.
"""

import hashlib
import hmac
import ipaddress
import secrets
import urllib.parse
from collections.abc import Callable

from starlette.datastructures import URL, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    # What a page may load its own <meta> says; this cannot be said there.
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Seal:
    """The key of one server, and what it proves.

    Attributes:
      key: what the printed address carries.
      cookie: the cookie's name; servers on other ports of this machine share its cookies.
    """

    def __init__(self) -> None:
        self.key = secrets.token_urlsafe(24)
        self.cookie = f"pipeline-ui-{secrets.token_hex(4)}"

    def of(self, *words: str) -> str:
        """A proof that this server wrote these words into a form."""
        text = "\0".join(words).encode()
        return hmac.new(self.key.encode(), text, hashlib.sha256).hexdigest()

    def stands(self, told: str, *words: str) -> bool:
        """Whether that proof is of these words."""
        return hmac.compare_digest(told.encode(), self.of(*words).encode())

    def opens(self, told: str | None) -> bool:
        """Whether that is the key."""
        return told is not None and hmac.compare_digest(told.encode(), self.key.encode())


class Guard:
    """Starlette middleware that turns away whoever is not the user of this machine.

    Args:
      app: the pages.
      seal: the server's key.
      refuse: makes the page that says why.
    """

    def __init__(self, app: ASGIApp, seal: Seal, refuse: Callable[[str], Response]) -> None:
        self._app, self._seal, self._refuse = app, seal, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or hands the request on."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        answer = self._answer(Request(scope)) if scope["type"] == "http" else None
        await (answer or self._app)(scope, receive, with_headers)

    def _answer(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if not is_loopback(_name(host)):
            return self._refuse(f"This page answers to localhost alone, not to {host!r}.")
        if self._seal.opens(request.query_params.get("key")):
            clean = URL(scope=request.scope).remove_query_params("key")
            answer = RedirectResponse(f"{clean.path}?{clean.query}".rstrip("?"), 303)
            answer.set_cookie(self._seal.cookie, self._seal.key, httponly=True, samesite="lax")
            return answer
        if not self._seal.opens(request.cookies.get(self._seal.cookie)):
            return self._refuse(
                "Open the address that `python -m pipeline ui` printed when it started: it holds "
                "the key to this page, and a new one each time."
            )
        if request.method != "GET" and request.headers.get("origin") != f"http://{host}":
            return self._refuse("This form was not sent from this page.")
        return None


def _name(host: str) -> str:
    try:
        return urllib.parse.urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
