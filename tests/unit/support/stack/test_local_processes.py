from __future__ import annotations

import socket

from testcluster.ports import free_ports

from support.stack.local_processes import Stack, is_listening


def test_ports_are_all_different_and_free(stack: Stack) -> None:
    ports = [*stack.grpc_ports.values(), *stack.http_ports.values()]
    assert len(set(ports)) == len(ports)
    assert not any(is_listening(port) for port in ports)


def test_listening_port_is_seen() -> None:
    with socket.create_server(("127.0.0.1", free_ports(1)[0])) as server:
        assert is_listening(server.getsockname()[1])


def test_foreign_certificate_has_another_authority(stack: Stack) -> None:
    own, foreign = stack.tls("brain"), stack.foreign("brain")
    assert (own / "ca.pem").read_bytes() != (foreign / "ca.pem").read_bytes()
    assert (foreign / "key.pem").is_file()
