"""TensorFlow Serving's REST API as a client sees it, over kept connections.

Needs neither TensorFlow nor gRPC. An answer does not say which version gave it, so requests name
the version that the server names when it is asked for the signature.
"""

import base64
import http.client
import json
import threading
import urllib.parse
from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.online.columns import DTYPES
from serving.online.errors import PredictionError
from serving.online.transport import Signature, Target, VersionState, no_such_signature

_CODES = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class RestTransport:
    """A server's REST API.

    Args:
      url: such as ``http://127.0.0.1:8501``.
    """

    versions_told = False

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r}: expected a URL such as 'http://127.0.0.1:8501'")
        self._make: Any = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._address = parts.hostname, parts.port
        self._base = parts.path.rstrip("/")
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def signature(self, target: Target, timeout: float) -> Signature:
        """As ``Transport.signature``."""
        answer = self._call("GET", f"{_path(target)}/metadata", None, timeout)
        try:
            there = answer["metadata"]["signature_def"]["signature_def"]
            version = int(answer["model_spec"]["version"])
        except (KeyError, TypeError, ValueError):
            raise PredictionError("INTERNAL", "the server's metadata lack the signatures") from None
        if target.signature not in there:
            raise PredictionError("INVALID_ARGUMENT", no_such_signature(target, there))
        told = there[target.signature]
        return Signature(version, _dtypes(told["inputs"]), _dtypes(told["outputs"]))

    def states(self, target: Target, timeout: float) -> list[VersionState]:
        """As ``Transport.states``."""
        answer = self._call("GET", _path(target), None, timeout)
        try:
            return [
                VersionState(int(one["version"]), one["state"], one["status"]["error_message"])
                for one in answer["model_version_status"]
            ]
        except (KeyError, TypeError, ValueError):
            raise PredictionError("INTERNAL", "the server's status lacks the versions") from None

    def predict(
        self,
        target: Target,
        signature: Signature,
        columns: Mapping[str, np.ndarray],
        timeout: float,
        headers: Mapping[str, str],
    ) -> tuple[int, dict[str, np.ndarray]]:
        """As ``Transport.predict``."""
        path = _path(Target(target.model, signature.version))
        body = predict_body(target.signature, columns)
        answer = self._call("POST", f"{path}:predict", body.encode(), timeout, headers)
        outputs = answer.get("outputs")
        if len(signature.outputs) == 1:
            # A single output comes without its name.
            outputs = {next(iter(signature.outputs)): outputs}
        if not isinstance(outputs, dict):
            raise PredictionError("INTERNAL", "the server's answer lacks 'outputs'")
        read = {
            name: _from_json(value, signature.outputs.get(name, ""))
            for name, value in outputs.items()
        }
        return signature.version, read

    def close(self) -> None:
        """Closes the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _call(
        self,
        method: str,
        path: str,
        body: bytes | None,
        timeout: float,
        more: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", **(more or {})}
        status, text = self._send(method, f"{self._base}{path}", body, headers, timeout)
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if status != 200:
            told = answer.get("error") if isinstance(answer, dict) else None
            shown = told or text[:200].decode(errors="replace") or f"HTTP status {status}"
            raise PredictionError(_CODES.get(status, "UNKNOWN"), str(shown))
        if not isinstance(answer, dict):
            raise PredictionError("INTERNAL", f"the answer is no JSON object: {text[:100]!r}")
        return answer

    def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout: float
    ) -> tuple[int, bytes]:
        with self._lock:
            connection = self._idle.pop() if self._idle else self._make(*self._address)
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        where = f"{self._address[0]}:{self._address[1] or ''}"
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read()
        except TimeoutError:
            connection.close()
            raise PredictionError(
                "DEADLINE_EXCEEDED", f"{where} did not answer in {timeout:.3g} s"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise PredictionError(
                "UNAVAILABLE", f"no answer from {where}: {error or type(error).__name__}"
            ) from None
        if response.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        return response.status, text


def predict_body(signature: str, columns: Mapping[str, np.ndarray]) -> str:
    """What is posted for a prediction: JSON with one list a column.

    Args:
      signature: its name.
      columns: by input, [n]; NaN is written as NaN, which TensorFlow Serving reads.
    """
    inputs = {name: _to_json(values) for name, values in columns.items()}
    return json.dumps({"signature_name": signature, "inputs": inputs})


def _path(target: Target) -> str:
    path = f"/v1/models/{urllib.parse.quote(target.model, safe='')}"
    if target.version is not None:
        return f"{path}/versions/{target.version}"
    if target.label is not None:
        return f"{path}/labels/{urllib.parse.quote(target.label, safe='')}"
    return path


def _dtypes(tensors: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(told["dtype"]) for name, told in tensors.items()}


def _to_json(values: np.ndarray) -> list[Any]:
    if values.dtype != object:
        listed: list[Any] = values.tolist()
        return listed
    return [_text(value) for value in values]


def _text(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode("ascii")}


def _from_json(value: Any, dtype: str) -> np.ndarray:
    if dtype != "DT_STRING":
        return np.asarray(value, DTYPES.get(dtype))
    return np.asarray(_bytes(value), object)


def _bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_bytes(item) for item in value]
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else str(value).encode()
