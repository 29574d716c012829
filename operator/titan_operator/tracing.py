"""Send traces of passes by OTLP to ``OTEL_EXPORTER_OTLP_ENDPOINT``, OpenTelemetry's own variable.

Without an endpoint nothing of OpenTelemetry's SDK is imported, and a span costs nothing worth measuring.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from opentelemetry import trace

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_NAME = "titan-operator"


def start_tracing(version: str, environ: Mapping[str, str] = os.environ) -> Callable[[], None]:
    """Send spans to the endpoint of ``environ``, if there is one; return the function that flushes and ends it.

    All other settings are OpenTelemetry's own variables (headers, certificate, sampler, service name).
    """
    if not environ.get(ENDPOINT):
        return lambda: None
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": environ.get("OTEL_SERVICE_NAME", _NAME), "service.version": version})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def tracer() -> trace.Tracer:
    """Return the operator's tracer, which records nothing before :func:`start_tracing`."""
    return trace.get_tracer(_NAME)
