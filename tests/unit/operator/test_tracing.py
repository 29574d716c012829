"""Spans reach a collector that listens, and without one nothing of the SDK is loaded."""

from __future__ import annotations

import subprocess
import sys
from concurrent import futures

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

PROGRAM = """
from titan_operator.tracing import start_tracing, tracer
end = start_tracing("9.9")
with tracer().start_as_current_span("reconcile", attributes={"titan.namespace": "stack"}):
    with tracer().start_as_current_span("gather"):
        pass
end()
import sys
print("opentelemetry.sdk" in sys.modules)
"""


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.requests: list[trace_service_pb2.ExportTraceServiceRequest] = []

    def Export(  # noqa: N802 - the protocol's name
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: object
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        self.requests.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()


def _run(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, env={"PATH": "", **environment}
    )
    return done.stdout.strip()


def test_spans_of_a_pass_reach_the_collector() -> None:
    collector = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        _run(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
    finally:
        server.stop(None)
    spans = [
        (span.name, resource.resource.attributes[0].key)
        for request in collector.requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert {name for name, _ in spans} == {"reconcile", "gather"}


def test_without_a_collector_the_sdk_is_not_loaded() -> None:
    assert _run() == "False"
