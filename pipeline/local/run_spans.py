"""A span for a run and for each of its stages."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from observability.spans import provider
from pipeline.local.events import Event

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_WRONG = ("failed", "stopped")


class RunSpans:
    """Follows a local run's events; does nothing where no collector is named.

    Args:
      service: the project's name.
      run_id: its trace is this run's.
    """

    def __init__(self, service: str, run_id: str) -> None:
        self._provider = provider(service, run_id)
        if self._provider is None:
            return
        from opentelemetry import trace

        self._tracer = self._provider.get_tracer(__name__)
        self._run = self._tracer.start_span("run", attributes={"run_id": run_id})
        self._within = trace.set_span_in_context(self._run)
        self._stages: dict[str, Span] = {}

    def apply(self, event: Event) -> None:
        """Takes in one event."""
        if self._provider is None or event.kind != "stage":
            return
        if event.node not in self._stages and event.state not in ("waiting", "skipped"):
            self._stages[event.node] = self._tracer.start_span(event.node, self._within)
        if event.state != "running" and event.node in self._stages:
            _end(self._stages.pop(event.node), event.state, event.text)

    def end(self, state: str) -> None:
        """Ends what is open and sends it: ``state`` is done, failed or stopped."""
        if self._provider is None:
            return
        for span in self._stages.values():
            _end(span, state)
        _end(self._run, state)
        self._provider.shutdown()


@contextlib.contextmanager
def task_span(run_id: str, node: str) -> Iterator[None]:
    """A span for a stage that is a task of its own somewhere; all have the run's trace."""
    made = provider("pipeline", run_id)
    if made is None:
        yield
        return
    state = "failed"
    span = made.get_tracer(__name__).start_span(node, attributes={"run_id": run_id})
    try:
        yield
        state = "done"
    finally:
        _end(span, state)
        made.shutdown()


def _end(span: "Span", state: str, text: str = "") -> None:
    from opentelemetry.trace import StatusCode

    span.set_attribute("state", state)
    if state in _WRONG:
        span.set_status(StatusCode.ERROR, text or state)
    elif text:
        span.set_attribute("outcome", text)
    span.end()
