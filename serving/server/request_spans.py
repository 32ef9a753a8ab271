"""A span for each request, beneath the caller's where the request names one."""

from typing import Any

from observability.spans import provider
from serving.server.exchange import Entry

_SECOND = 1_000_000_000


class RequestSpans:
    """Makes spans of access log entries; nothing where no collector is named."""

    def __init__(self) -> None:
        self._provider = provider("serving")
        if self._provider is None:
            return
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = self._provider.get_tracer(__name__)
        self._server, self._error = SpanKind.SERVER, StatusCode.ERROR
        self._extract = TraceContextTextMapPropagator().extract

    @property
    def on(self) -> bool:
        """Whether spans are made."""
        return self._provider is not None

    def add(self, at: float, entry: Entry, ours: bool) -> None:
        """Makes a request's span.

        Args:
          at: when it came, ``time.time()``.
          entry: what is told of it.
          ours: whether it failed by the server's fault.
        """
        if self._provider is None:
            return
        told: dict[str, Any] = {
            "rpc.system": entry.api.lower(),
            "rpc.method": entry.method,
            "model": entry.model,
            "model_version": entry.version,
            "run_id": entry.run_id,
            "request_id": entry.request_id,
            "status": entry.status,
            "rows": entry.rows,
        }
        begin = int(at * _SECOND)
        span = self._tracer.start_span(
            f"{entry.api} {entry.method}".strip(),
            self._extract({"traceparent": entry.traceparent}),
            self._server,
            {name: value for name, value in told.items() if value not in ("", None)},
            start_time=begin,
        )
        if ours:
            span.set_status(self._error, entry.status)
        span.end(begin + int(entry.seconds * _SECOND))

    def close(self) -> None:
        """Sends what is left."""
        if self._provider is not None:
            self._provider.shutdown()
