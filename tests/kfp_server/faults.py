"""What goes wrong between a client and the server, a set number of times."""

import asyncio
import dataclasses
import re

from aiohttp import web


@dataclasses.dataclass
class Fault:
    """One kind of mishap.

    Attributes:
      method: of the requests that it hits.
      path: a pattern for their paths.
      kind: ``reset`` (the connection breaks), ``hang`` (no answer comes), or a status.
      times: how many requests it hits.
      after: whether the request is carried out before; its answer is lost.
    """

    method: str
    path: str
    kind: str | int
    times: int = 1
    after: bool = False
    hits: int = 0

    def meets(self, request: web.Request) -> bool:
        hit = (
            self.hits < self.times
            and request.method == self.method
            and re.search(self.path, request.path) is not None
        )
        self.hits += hit
        return hit


def middleware(faults: list[Fault]):
    @web.middleware
    async def strike(request: web.Request, handler):
        fault = next((fault for fault in faults if fault.meets(request)), None)
        if fault is None:
            return await handler(request)
        if fault.after:
            await handler(request)
        if fault.kind == "hang":
            await asyncio.sleep(3600)
        if fault.kind == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.Response(status=int(fault.kind), text="upstream connect error")

    return strike
