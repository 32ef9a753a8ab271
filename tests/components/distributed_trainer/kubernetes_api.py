"""A Kubernetes API server for the launcher's real client: TFJobs, pods, logs, list and watch.

Written after https://kubernetes.io/docs/reference/using-api/api-concepts/. It lets in what the role
of infra/training allows, and takes TFJobs that the operator's schema takes, strictly.
"""

import asyncio
import json
import pathlib
import re
import threading
from typing import Any

import jsonschema
import yaml
from aiohttp import web

from tests.components.distributed_trainer.training_operator import Operator
from tests.kfp_server import faults as mishaps

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
_TFJOBS = "/apis/kubeflow.org/v1/namespaces/{namespace}/tfjobs"
_PODS = "/api/v1/namespaces/{namespace}/pods"
_VERBS = {"POST": "create", "DELETE": "delete"}


def strict(schema: Any) -> Any:
    """A structural schema that refuses what it does not describe, as ``--validate=strict``."""
    if isinstance(schema, dict):
        closed = {key: strict(value) for key, value in schema.items()}
        if "properties" in schema and "additionalProperties" not in schema:
            closed["additionalProperties"] = False
        if schema.get("x-kubernetes-int-or-string"):
            closed.pop("pattern", None)
        return closed
    return [strict(one) for one in schema] if isinstance(schema, list) else schema


def tfjob_schema() -> dict[str, Any]:
    """What a TFJob may hold; its metadata's schema is Kubernetes' own."""
    schema = strict(json.loads((HERE / "schemas/tfjob.json").read_text()))
    names = {"type": "object", "additionalProperties": {"type": "string"}}
    schema["properties"]["metadata"] = {
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63},
            "labels": names,
            "annotations": names,
        },
    }
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return schema


def allowed() -> set[tuple[str, str, str]]:
    """What the role allows: API group, resource, verb."""
    documents = yaml.safe_load_all((ROOT / "infra/training/rbac.yaml").read_text())
    (role,) = [one for one in documents if one["kind"] == "Role"]
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


class KubernetesApi:
    """The server, in a thread of the test's process.

    Attributes:
      operator: what makes pods of jobs, and how they fare.
      faults: what goes wrong next.
      watches: what comes of the next watches: ``drop`` (broken after the first event), ``gone``
        (the place is forgotten) or ``stall`` (nothing comes any more); else they work.
      seen: the requests, ``METHOD path``.
      used: by the requests made of the role: group, resource, verb.
      manifests: the TFJobs that were created.
    """

    def __init__(self) -> None:
        self.faults: list[mishaps.Fault] = []
        self.watches: list[str] = []
        self.seen: list[str] = []
        self.used: set[tuple[str, str, str]] = set()
        self.manifests: list[dict[str, Any]] = []
        self.forbidden: set[tuple[str, str, str]] = set()
        self._allowed = allowed()
        self._validator = jsonschema.Draft202012Validator(tfjob_schema())
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self.operator = Operator(self.seen)
        app = web.Application(middlewares=[self._guard, mishaps.middleware(self.faults)])
        app.add_routes(
            [
                web.get(_TFJOBS, self._list_jobs),
                web.post(_TFJOBS, self._create),
                web.delete(_TFJOBS + "/{name}", self._delete),
                web.get(_PODS, self._list_pods),
                web.get(_PODS + "/{name}/log", self._log),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        self._loop.run_forever()
        self.operator.end()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    @property
    def _guard(self):
        @web.middleware
        async def guard(request: web.Request, handler):
            self.seen.append(f"{request.method} {request.path}")
            kind = re.fullmatch(
                r"/(?:api|apis/([^/]+))/v1/namespaces/plant/(\w+)(/[^/]+)?(/log)?", request.path
            )
            group, resource, _, log = kind.groups()
            verb = _VERBS.get(request.method) or ("watch" if "watch" in request.query else "list")
            asked = (group or "", resource + (log or ""), "get" if log else verb)
            if asked not in self._allowed - self.forbidden:
                return status(403, f'{resource} is forbidden: cannot {verb} resource "{resource}"')
            self.used.add(asked)
            return await handler(request)

        return guard

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        if errors := sorted(self._validator.iter_errors(body), key=str):
            return status(400, f"strict decoding error: {errors[0].message}")
        if body["metadata"]["name"] in self.operator.jobs.items:
            return status(409, f'tfjobs "{body["metadata"]["name"]}" already exists')
        self.manifests.append(body)
        return web.json_response(self.operator.create(body), status=201)

    async def _delete(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.operator.jobs.items:
            return status(404, f'tfjobs "{name}" not found')
        self.operator.delete(name)
        return web.json_response({"kind": "Status", "status": "Success"})

    async def _list_jobs(self, request: web.Request) -> web.StreamResponse:
        _, _, name = request.query["fieldSelector"].partition("metadata.name=")
        return await self._list(request, "jobs", lambda item: item["metadata"]["name"] == name)

    async def _list_pods(self, request: web.Request) -> web.StreamResponse:
        key, _, value = request.query["labelSelector"].partition("=")
        return await self._list(
            request, "pods", lambda item: item["metadata"]["labels"].get(key) == value
        )

    async def _list(self, request: web.Request, kind: str, chosen) -> web.StreamResponse:
        table = getattr(self.operator, kind)
        if request.query.get("watch") != "True":
            items = [item for item in table.items.values() if chosen(item)]
            version = str(self.operator.clock.version)
            return web.json_response({"items": items, "metadata": {"resourceVersion": version}})
        fate = self.watches.pop(0) if self.watches else "work"
        response = web.StreamResponse()
        await response.prepare(request)
        if fate == "gone":
            await _send(
                response,
                "ERROR",
                {
                    "kind": "Status",
                    "code": 410,
                    "reason": "Expired",
                    "message": "too old resource version",
                },
            )
            return response
        if fate == "stall":
            await asyncio.sleep(3600)
        seen = int(request.query["resourceVersion"])
        ends = self._loop.time() + float(request.query["timeoutSeconds"])
        while (left := ends - self._loop.time()) > 0:
            newest = self.operator.clock.version
            for version, event, item in list(table.events):
                if seen < version <= newest and chosen(item):
                    await _send(response, event, item)
                    if fate == "drop":
                        request.transport.abort()
                        return response
            seen = newest
            await self.operator.clock.wait(seen, left)
        return response

    async def _log(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        name, sent = request.match_info["name"], 0
        while name in self.operator.pods.items or sent < len(self.operator.logs.get(name, ())):
            lines = self.operator.logs.get(name, ())
            for line in lines[sent:]:
                await response.write(f"{line}\n".encode())
            sent = len(lines)
            if self.operator.has_ended(name):
                break
            await self.operator.clock.wait(self.operator.clock.version, 1.0)
        return response


async def _send(response: web.StreamResponse, kind: str, item: dict[str, Any]) -> None:
    await response.write(json.dumps({"type": kind, "object": item}).encode() + b"\n")


def status(code: int, message: str) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "message": message, "code": code}
    return web.json_response(body, status=code)
