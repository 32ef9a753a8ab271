"""TensorFlow Serving's REST API as an ASGI application.

Paths, codes and words: model_servers/http_rest_api_handler.cc, http_rest_api_util.cc.
"""

import logging
import re
import time
import urllib.parse
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import grpc

from serving.server import json_answers, json_examples, json_tensors, model_info
from serving.server.access_log import AccessLog, record
from serving.server.core import Core, Target
from serving.server.errors import HTTP_STATUS, ServingError
from serving.server.example_methods import classify, regress
from serving.server.exchange import Entry, Exchange
from serving.server.json_text import invalid, parse_object
from serving.server.limits import Limits, TooLargeError, discard_body, read_body

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_NAMED = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_POST = re.compile(_NAMED + r":(classify|regress|predict)", re.IGNORECASE)
_GET = re.compile(_NAMED + r"(?:/(metadata))?", re.IGNORECASE)
_NO_NAME = re.compile(r"/v1/models(?:/metadata)?", re.IGNORECASE)
_JSON, _TEXT = b"application/json", b"text/plain"
_LARGEST_VERSION = 2**63 - 1
_log = logging.getLogger(__name__)


class RestApi:
    """The application.

    Args:
      core: what holds the models.
      access_log: gets an entry for each request.
      limits: how large a body may be.
      metrics_path: where Prometheus reads; "" for nowhere.
      timeout: seconds after which a request is given up.
    """

    def __init__(
        self,
        core: Core,
        access_log: AccessLog,
        limits: Limits,
        metrics_path: str = "/monitoring/prometheus/metrics",
        timeout: float = 30.0,
    ) -> None:
        self._core = core
        self._access_log = access_log
        self._limits = limits
        self._metrics_path = metrics_path
        self._timeout = timeout
        self.draining = False
        """Whether each answer also closes its connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        path = scope["raw_path"].decode("ascii")
        if path == self._metrics_path and scope["method"] == "GET":
            await self._send(send, 200, self._core.metrics.exposition(), _TEXT)
            return
        if not path.lower().startswith("/v1/"):
            await self._send(send, 404, json_answers.write_error("Not Found"))
            return
        at, begin = time.time(), time.perf_counter()
        entry = Entry(
            "REST",
            request_id=_header(scope, b"x-request-id"),
            traceparent=_header(scope, b"traceparent"),
            observation=_header(scope, b"x-observation"),
        )
        close = False
        try:
            body = await read_body(scope, receive, self._limits.body_bytes)
            if body is None:
                return
            status, answer = 200, await self._answer(scope["method"], path, body, entry)
        except TooLargeError as error:
            status, answer, close = 413, json_answers.write_error(str(error)), True
            entry.status = grpc.StatusCode.RESOURCE_EXHAUSTED.name
        except ServingError as error:
            status, answer = HTTP_STATUS[error.code], json_answers.write_error(error.message)
            entry.status = error.code.name
        except Exception:
            _log.exception("a request to %s failed", path)
            status, answer = 500, json_answers.write_error("Internal error; see the server's log")
            entry.status = grpc.StatusCode.INTERNAL.name
        entry.seconds = time.perf_counter() - begin
        record(self._core, self._access_log, at, entry)
        await self._send(send, status, answer, close=close, receive=receive)

    async def _answer(self, method: str, path: str, body: bytes, entry: Entry) -> bytes:
        match = (_POST if method == "POST" else _GET).fullmatch(path)
        if match is None or method not in ("GET", "POST"):
            if method == "GET" and _NO_NAME.fullmatch(path):
                raise invalid("Missing model name in request.")
            raise invalid(f"Malformed request: {method} {path}")
        model, version_text, label, verb = match.groups()
        version = None if version_text is None else int(version_text)
        if version is not None and version > _LARGEST_VERSION:
            raise invalid(f"Failed to convert version: {version_text} to numeric.")
        target = Target(
            urllib.parse.unquote(model),
            version,
            None if label is None else urllib.parse.unquote(label),
        )
        entry.model, entry.version = target.model, version
        if method == "GET":
            entry.method = "metadata" if verb else "status"
            return self._info(target, entry)
        entry.method = verb.lower()
        document = parse_object(body)
        entry.signature = json_tensors.signature_name(document)
        target = self._core.pin(Target(target.model, target.version, target.label, entry.signature))
        entry.version = target.version
        deadline = time.monotonic() + self._timeout
        if entry.method == "predict":
            return await self._predict(document, target, deadline, entry)
        examples = json_examples.read_examples(document)
        if entry.method == "classify":
            answer, classes = await classify(self._core, target, examples, deadline)
            written = json_answers.write_classification(classes)
            entry.rows = len(classes.classifications)
            entry.answered(answer, Exchange(examples, classes))
        else:
            answer, numbers = await regress(self._core, target, examples, deadline)
            written = json_answers.write_regression(numbers)
            entry.rows = len(numbers.regressions)
            entry.answered(answer, Exchange(examples, numbers))
        return written

    async def _predict(
        self, document: dict[str, Any], target: Target, deadline: float, entry: Entry
    ) -> bytes:
        _, signatures = self._core.signatures(target)
        name = entry.signature = target.signature or "serving_default"
        if name not in signatures:
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        body = json_tensors.read_predict(document, signatures[name])
        first = next(iter(body.inputs.values()))
        entry.rows = len(first) if first.ndim else 1
        answer = await self._core.predict(target, body.inputs, deadline=deadline)
        entry.answered(answer, Exchange(body.inputs, answer.outputs))
        return json_answers.write_predict(answer.outputs, body.rows)

    def _info(self, target: Target, entry: Entry) -> bytes:
        if entry.method == "status":
            states = self._core.status(target.model, target.version, target.label)
            return model_info.status_json(states)
        version, definitions = self._core.signature_defs(target)
        entry.version = version
        return model_info.metadata_json(target.model, version, definitions)

    async def _send(
        self,
        send: Send,
        status: int,
        body: bytes,
        kind: bytes = _JSON,
        close: bool = False,
        receive: Receive | None = None,
    ) -> None:
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
        if close or self.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if close and receive is not None:
            # A connection closed with bytes unread is reset, and the answer may be lost with it.
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await discard_body(receive, self._limits.linger_seconds)
            body = b""
        await send({"type": "http.response.body", "body": body})


def _header(scope: Scope, sought: bytes) -> str:
    for name, value in scope["headers"]:
        if name == sought:
            return str(value.decode("latin-1"))
    return ""
