"""Spans for OpenTelemetry, sent over OTLP/HTTP to where its standard variables name a collector.

``OTEL_EXPORTER_OTLP_ENDPOINT`` or ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` turns them on; sampling,
headers, timeouts and resource attributes are OpenTelemetry's own variables, too:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import os
from typing import TYPE_CHECKING

from observability.trace import trace_of_run

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def provider(service: str, run_id: str = "") -> "TracerProvider | None":
    """What makes spans and sends them in the background; None where no collector is named.

    Args:
      service: ``service.name``, unless ``OTEL_SERVICE_NAME`` says another.
      run_id: if given, root spans are of this run's trace; else each begins a trace of its own.

    Returns:
      A provider; ``shutdown`` sends what is left, for as long as the exporter's timeout allows.
    """
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        return None
    # Half a second, which only those pay who asked for spans.
    from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class OfRun(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            return int(trace_of_run(run_id), 16) if run_id else super().generate_trace_id()

    made = TracerProvider(
        id_generator=OfRun(),
        resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", service)}),
        shutdown_on_exit=False,
    )
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made
