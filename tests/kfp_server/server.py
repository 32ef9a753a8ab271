"""A server that speaks Kubeflow Pipelines' v2beta1 REST API, for kfp's own clients in tests.

Requests and answers are those of ``backend/api/v2beta1`` and of the upload handler; what it refuses
is what the API server refuses. It runs in a thread of the test's process.
"""

import asyncio
import threading
from typing import Any

import yaml
from aiohttp import web

from tests.kfp_server import faults as mishaps
from tests.kfp_server import rules
from tests.kfp_server.doors import Door
from tests.kfp_server.execution import Execution
from tests.kfp_server.store import Row, Store, page, refuse

API = "/apis/v2beta1"


class KfpServer:
    """The server.

    Attributes:
      store: what it holds.
      door: who is let in.
      faults: what goes wrong next.
      outcomes: by task how it ends, for runs that start from now on; see ``Execution``.
      multi_user: whether runs belong to namespaces.
      version: what it says of itself.
      seen: the requests, ``METHOD path``.
    """

    def __init__(self) -> None:
        self.faults: list[mishaps.Fault] = []
        self.reset()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._ready.wait()

    def reset(self) -> None:
        """Empty, open to all, without faults."""
        self.store = Store()
        self.door = Door()
        self.faults.clear()
        self.outcomes: dict[str, str] = {}
        self.multi_user = False
        self.version = "2.16.0"
        self.seen: list[str] = []
        self._executions: dict[str, Execution] = {}

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application(
            middlewares=[self._noting, mishaps.middleware(self.faults), self._door]
        )
        app.add_routes(self._routes())
        runner = web.AppRunner(app, access_log=None)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=0.1)
        self._loop.run_until_complete(site.start())
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    @property
    def _noting(self):
        @web.middleware
        async def note(request: web.Request, handler):
            self.seen.append(f"{request.method} {request.path}")
            return await handler(request)

        return note

    @property
    def _door(self):
        @web.middleware
        async def guard(request: web.Request, handler):
            return await self.door.guard(request, handler)

        return guard

    def _routes(self) -> list[web.RouteDef]:
        runs, recurring = f"{API}/runs", f"{API}/recurringruns"
        return [
            web.route("*", "/{path:(dex|oauth2)/.*}", self._log_in),
            web.get("/", self._root),
            web.get(f"{API}/healthz", self._healthz),
            web.get(f"{API}/experiments", self._list_experiments),
            web.post(f"{API}/experiments", self._create_experiment),
            web.get(f"{API}/pipelines", self._list_pipelines),
            web.post(f"{API}/pipelines/upload", self._upload),
            web.post(f"{API}/pipelines/upload_version", self._upload_version),
            web.get(f"{API}/pipelines/{{id}}/versions", self._list_versions),
            web.get(runs, self._list_runs),
            web.post(runs, self._create_run),
            web.get(f"{runs}/{{id}}", self._get_run),
            web.post(f"{runs}/{{id:[^:/]+}}:terminate", self._terminate),
            web.get(recurring, self._list_recurring),
            web.post(recurring, self._create_recurring),
            web.delete(f"{recurring}/{{id}}", self._delete_recurring),
            web.post(f"{recurring}/{{id:[^:/]+}}:{{mode:enable|disable}}", self._switch_recurring),
        ]

    async def _root(self, request: web.Request) -> web.Response:
        return web.Response(text="<html>Kubeflow</html>", content_type="text/html")

    async def _log_in(self, request: web.Request) -> web.StreamResponse:
        return await self.door.pages(request)

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.json_response({"multi_user": self.multi_user, "tag_name": self.version})

    def _namespace(self, given: str) -> str:
        if not self.multi_user:
            return ""
        if not given:
            raise refuse(400, "InvalidInputError: Namespace is empty in multi-user mode.")
        return given

    async def _list_experiments(self, request: web.Request) -> web.Response:
        namespace = self._namespace(request.query.get("namespace", ""))
        rows = [r for r in self.store.experiments.values() if r["namespace"] == namespace]
        return web.json_response(page(rows, request.query, "experiments"))

    async def _create_experiment(self, request: web.Request) -> web.Response:
        row = await request.json()
        namespace = self._namespace(row.get("namespace", ""))
        row = {"display_name": row["display_name"], "namespace": namespace}
        if any(row.items() <= known.items() for known in self.store.experiments.values()):
            raise refuse(409, f"Already exist error: experiment {row['display_name']}")
        return web.json_response(self.store.add(self.store.experiments, "experiment_id", row))

    async def _list_pipelines(self, request: web.Request) -> web.Response:
        namespace = self._namespace(request.query.get("namespace", ""))
        rows = [r for r in self.store.pipelines.values() if r["namespace"] == namespace]
        return web.json_response(page(rows, request.query, "pipelines"))

    async def _uploaded(self, request: web.Request) -> Row:
        file = (await request.post())["uploadfile"]
        text = file.file.read().decode()
        rules.accept(text)
        query = request.query
        return {
            "display_name": query.get("name") or file.filename,
            "description": query.get("description", ""),
            "text": text,
        }

    async def _upload(self, request: web.Request) -> web.Response:
        version = await self._uploaded(request)
        namespace = self._namespace(request.query.get("namespace", ""))
        row = {k: version[k] for k in ("display_name", "description")} | {"namespace": namespace}
        for known in self.store.pipelines.values():
            if (known["display_name"], known["namespace"]) == (row["display_name"], namespace):
                raise rules.upload_error(409, "Failed to create a pipeline and a pipeline version")
        row = self.store.add(self.store.pipelines, "pipeline_id", row)
        version["pipeline_id"] = row["pipeline_id"]
        self.store.add(self.store.versions, "pipeline_version_id", version)
        return web.json_response(row)

    async def _upload_version(self, request: web.Request) -> web.Response:
        version = await self._uploaded(request)
        pipeline = self.store.get(self.store.pipelines, request.query["pipelineid"])
        version["pipeline_id"] = pipeline["pipeline_id"]
        for known in self.store.versions.values():
            same = ("pipeline_id", "display_name")
            if all(known[key] == version[key] for key in same):
                raise rules.upload_error(409, "Failed to create a pipeline version")
        row = self.store.add(self.store.versions, "pipeline_version_id", version)
        return web.json_response({k: v for k, v in row.items() if k != "text"})

    async def _list_versions(self, request: web.Request) -> web.Response:
        pipeline = self.store.get(self.store.pipelines, request.match_info["id"])
        rows = [
            {k: v for k, v in row.items() if k != "text"}
            for row in self.store.versions.values()
            if row["pipeline_id"] == pipeline["pipeline_id"]
        ]
        return web.json_response(page(rows, request.query, "pipeline_versions"))

    def _spec(self, row: Row) -> dict[str, Any]:
        """The PipelineSpec of a run's version, after the checks that a run's creation makes."""
        self.store.get(self.store.experiments, row["experiment_id"])
        reference = row["pipeline_version_reference"]
        version = self.store.get(self.store.versions, reference["pipeline_version_id"])
        spec = next(iter(yaml.safe_load_all(version["text"])))
        rules.check_values(spec, row.get("runtime_config", {}).get("parameters", {}))
        return spec

    async def _list_runs(self, request: web.Request) -> web.Response:
        experiment = request.query["experiment_id"]
        rows = [r for r in self.store.runs.values() if r["experiment_id"] == experiment]
        return web.json_response(page(rows, request.query, "runs"))

    async def _create_run(self, request: web.Request) -> web.Response:
        row = await request.json()
        spec = self._spec(row)
        row = self.store.add(self.store.runs, "run_id", row | {"state": "PENDING"})
        self._executions[row["run_id"]] = Execution(row, spec, dict(self.outcomes))
        return web.json_response(row)

    async def _get_run(self, request: web.Request) -> web.Response:
        row = self.store.get(self.store.runs, request.match_info["id"])
        answer = web.json_response(row)
        self._executions[row["run_id"]].step()
        return answer

    async def _terminate(self, request: web.Request) -> web.Response:
        row = self.store.get(self.store.runs, request.match_info["id"])
        if row["state"] not in ("PENDING", "RUNNING", "CANCELING"):
            raise refuse(400, f"Failed to terminate run {row['run_id']}: it is {row['state']}")
        row["state"] = "CANCELING"
        return web.json_response({})

    async def _list_recurring(self, request: web.Request) -> web.Response:
        experiment = request.query["experiment_id"]
        rows = [r for r in self.store.recurring.values() if r["experiment_id"] == experiment]
        return web.json_response(page(rows, request.query, "recurringRuns"))

    async def _create_recurring(self, request: web.Request) -> web.Response:
        row = await request.json()
        self._spec(row)
        rules.check_cron(row["trigger"]["cron_schedule"]["cron"])
        status = "ENABLED" if row["mode"] == "ENABLE" else "DISABLED"
        row = row | {"status": status, "max_concurrency": str(row["max_concurrency"])}
        return web.json_response(self.store.add(self.store.recurring, "recurring_run_id", row))

    async def _delete_recurring(self, request: web.Request) -> web.Response:
        row = self.store.get(self.store.recurring, request.match_info["id"])
        del self.store.recurring[row["recurring_run_id"]]
        return web.json_response({})

    async def _switch_recurring(self, request: web.Request) -> web.Response:
        row = self.store.get(self.store.recurring, request.match_info["id"])
        row["status"] = f"{request.match_info['mode'].upper()}D"
        return web.json_response({})
