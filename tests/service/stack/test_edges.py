"""Identity: every allowed and forbidden edge over real mutual TLS, and refused handshakes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import grpc
import pytest

from support.stack.local_processes import Stack
from titan.runtime.rpc.client import RpcChannel
from titan.runtime.rpc.contract import METHODS, Method
from titan.runtime.rpc.errors import RpcError
from titan.runtime.rpc.server import RpcServer, ServerStream
from titan.runtime.settings import ProcessSettings
from titan.runtime.telemetry.logs import get_logger
from titan.runtime.telemetry.metrics import Metrics
from titan.runtime.topology import ROLES, may_call

SERVERS = [role for role in ROLES.values() if role.service]
CALLER_ROLES = list(ROLES)


def refusals(metrics: Metrics) -> dict[str, float]:
    return {
        sample.labels["cause"]: sample.value
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "titan_rpc_refused_total"
    }


async def echo_server(settings: ProcessSettings, service: str) -> tuple[RpcServer, Metrics]:
    """Start a server whose methods answer at once, because only admission is tested."""
    metrics = Metrics()
    server = RpcServer(settings, metrics, get_logger(settings.role))
    for method in METHODS:
        if method.service != service:
            continue
        if method.streaming:

            async def stream(stream: ServerStream, response: type = method.response) -> None:  # type: ignore[type-arg]
                async for _ in stream:
                    stream.post(response())

            server.stream(method, stream)
        else:

            async def unary(_request: object, _peer: object, response: type = method.response) -> object:
                return response()

            server.unary(method, unary)
    await server.start()
    return server, metrics


async def attempt(channel: RpcChannel, method: Method) -> str:  # type: ignore[type-arg]
    try:
        if not method.streaming:
            await channel.call(method, method.request(), timeout_s=60)
            return "OK"
        stream = channel.open(method)
        stream.post(method.request())
        async for _ in stream:
            stream.close()
            return "OK"
    except RpcError as error:
        return error.code.name
    return "ENDED"


@pytest.mark.parametrize("server_role", SERVERS, ids=lambda role: role.name)
async def test_every_edge(stack: Stack, server_role: object) -> None:
    role = server_role.name  # type: ignore[attr-defined]
    server, metrics = await echo_server(stack.settings(ProcessSettings, role), server_role.service)  # type: ignore[attr-defined]
    methods = [method for method in METHODS if method.service == server_role.service]  # type: ignore[attr-defined]
    forbidden = 0
    try:
        for caller in CALLER_ROLES:
            channel = RpcChannel(stack.client(caller), role)
            for method in methods:
                expected = "OK" if may_call(caller, method.path) else "PERMISSION_DENIED"
                forbidden += expected != "OK"
                assert await attempt(channel, method) == expected, f"{caller} calls {method.label}"
            await channel.close()
    finally:
        await server.stop()
    assert forbidden > 0
    assert refusals(metrics) == {"forbidden_edge": forbidden}


async def test_a_certificate_of_another_role_does_not_pass_for_the_server(stack: Stack) -> None:
    """A phase on Execution's port cannot pose as Execution."""
    impostor = stack.settings(ProcessSettings, "execution", tls_dir=str(stack.tls("scavenger")))
    server, _ = await echo_server(impostor, "Execution")
    channel = RpcChannel(stack.client("brain"), "execution")
    try:
        method = next(method for method in METHODS if method.label == "Execution.Place")
        with pytest.raises(RpcError) as refused:
            await channel.open(method).wait_connected()
        assert refused.value.code is grpc.StatusCode.UNAVAILABLE
    finally:
        await channel.close()
        await server.stop()


@pytest.mark.parametrize(
    ("description", "cause"),
    [("no certificate", "PEER_DID_NOT_RETURN_A_CERTIFICATE"), ("a foreign authority", "CERTIFICATE_VERIFY_FAILED")],
)
async def test_strangers_are_refused_logged_and_counted(stack: Stack, description: str, cause: str) -> None:
    """A handshake fails below Python, and the process must still log and count it."""
    from titan.papervenue.app import PaperVenueApp

    settings = stack.settings(PaperVenueApp.SETTINGS, "papervenue", log_format="json")
    log = stack.directory / "papervenue.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "titan.papervenue.app"], env=stack.environment(settings), stderr=output
        )
    try:
        root = Path(settings.tls_dir, "ca.pem").read_bytes()
        if description == "no certificate":
            credentials = grpc.ssl_channel_credentials(root)
        else:
            folder = stack.foreign("execution")
            credentials = grpc.ssl_channel_credentials(
                root, (folder / "key.pem").read_bytes(), (folder / "cert.pem").read_bytes()
            )
        await until(lambda: http_text(settings.http_port, "/live") == "alive\n")
        channel = grpc.aio.secure_channel(
            f"127.0.0.1:{settings.grpc_port}",
            credentials,
            options=[("grpc.ssl_target_name_override", "papervenue.titan.internal")],
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary("/titan.v1.PaperVenue/GetAccount")(b"", timeout=5)
        assert refused.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        await channel.close()
        await until(
            lambda: (
                f'titan_rpc_refused_total{{cause="tls_{cause.lower()}"}}' in http_text(settings.http_port, "/metrics")
            )
        )
        assert cause in log.read_text()
    finally:
        process.terminate()
        assert process.wait(60) == 0


def http_text(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return str(answer.read().decode())
    except OSError as error:
        return f"not yet: {error}"


async def until(condition: object, timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while not await asyncio.to_thread(condition):  # type: ignore[arg-type]
            await asyncio.sleep(0)


def test_plain_identity_is_refused_off_loopback(stack: Stack) -> None:
    from titan.runtime.settings import SettingsError, load_settings

    environment = {**os.environ, "TITAN_ROLE": "brain", "TITAN_HTTP_PORT": "1", "TITAN_STATE_DIR": str(stack.directory)}
    with pytest.raises(SettingsError, match="loopback"):
        load_settings(ProcessSettings, ["--identity", "plain", "--bind", "0.0.0.0"], environment)
