"""Who is let in: by token, by a session's cookie, or by logging in at Dex's pages."""

import dataclasses
import urllib.parse

from aiohttp import web

SESSION = "oauth2_proxy_kubeflow"


@dataclasses.dataclass
class Door:
    """What stands before the API.

    Attributes:
      kind: ``open``, ``token``, ``cookie``; ``authservice`` and ``oauth2-proxy`` lead to Dex.
      token: the one that is taken.
      session: the cookie's value that is taken.
      users: Dex's, with their passwords.
      approval: whether Dex asks for approval.
    """

    kind: str = "open"
    token: str = "right-token"
    session: str = "right-session"
    users: dict[str, str] = dataclasses.field(default_factory=dict)
    approval: bool = False
    logins: int = 0

    async def guard(self, request: web.Request, handler) -> web.StreamResponse:
        if self._passes(request):
            return await handler(request)
        if self.kind == "token":
            body = {"error": "Unauthenticated", "code": 16, "message": "User identity is empty"}
            return web.json_response(body, status=401)
        if self.kind == "oauth2-proxy":
            return web.Response(status=403, text="<html>Sign in</html>", content_type="text/html")
        raise web.HTTPFound(f"/dex/auth?client_id=kubeflow&state={request.path}")

    def _passes(self, request: web.Request) -> bool:
        if self.kind == "open" or request.path.startswith(("/dex", "/oauth2")):
            return True
        if self.kind == "token":
            healthz = request.path.endswith("/healthz")
            return healthz or request.headers.get("Authorization") == f"Bearer {self.token}"
        return request.cookies.get(SESSION) == self.session

    async def pages(self, request: web.Request) -> web.StreamResponse:
        """The login's pages: oauth2-proxy's, and Dex's."""
        page = {
            ("GET", "/oauth2/start"): self._start,
            ("GET", "/oauth2/callback"): self._callback,
            ("GET", "/dex/auth"): _form,
            ("GET", "/dex/auth/local"): self._connector,
            ("GET", "/dex/auth/local/login"): _form,
            ("POST", "/dex/auth/local/login"): self._login,
            ("GET", "/dex/approval"): _form,
            ("POST", "/dex/approval"): self._back,
        }.get((request.method, request.path))
        if page is None:
            raise web.HTTPNotFound
        return await page(request)

    async def _start(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(f"/dex/auth?client_id=kubeflow&state={request.query['rd']}")

    async def _connector(self, request: web.Request) -> web.Response:
        query = urllib.parse.urlencode({"back": "", "state": request.query["state"]})
        raise web.HTTPFound(f"/dex/auth/local/login?{query}")

    async def _login(self, request: web.Request) -> web.Response:
        form = await request.post()
        if self.users.get(str(form["login"])) != form["password"]:
            return web.Response(text="Invalid Email Address and password", status=401)
        if self.approval:
            raise web.HTTPSeeOther(f"/dex/approval?req={request.query['state']}")
        return await self._back(request)

    async def _back(self, request: web.Request) -> web.Response:
        raise web.HTTPSeeOther("/oauth2/callback?code=one&state=two")

    async def _callback(self, request: web.Request) -> web.Response:
        self.logins += 1
        answer = web.HTTPFound("/")
        answer.set_cookie(SESSION, self.session)
        raise answer


async def _form(request: web.Request) -> web.Response:
    return web.Response(text="<html><form method=post></html>", content_type="text/html")
