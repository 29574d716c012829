"""Addresses of pods on the loopback interface: 127.x.y.z, where ``x`` is this runner's alone on this machine."""

from __future__ import annotations

import asyncio
import errno
import os
import socket

from support.podrunner.api import Object

_PORT = 10_001
Selector = tuple[str, frozenset[tuple[str, str]]]


class Addresses:
    """Gives each Service's pods one address that stays, and every other pod one of its own.

    A process binds the address of its pod, so a Service's name can stand for that address: no proxy is between. A
    second pod behind the same Service waits while the first one is on its way out; beside a first one that stays it
    gets an address that no Service leads to.
    """

    def __init__(self) -> None:
        self._claim = socket.socket()
        self._second = self._reserve()
        self._next = 0
        self._stable: dict[Selector, str] = {}
        self._holders: dict[str, tuple[asyncio.Event, asyncio.Event]] = {}

    def close(self) -> None:
        """Give the range back."""
        self._claim.close()

    def of_service(self, service: Object) -> str | None:
        """Address of the pods that a Service selects; None for one that selects none."""
        selector = service["spec"].get("selector") or {}
        if not selector:
            return None
        key = (service["metadata"]["namespace"], frozenset(selector.items()))
        if key not in self._stable:
            self._stable[key] = self._fresh()
        return self._stable[key]

    async def take(self, pod: Object, services: list[Object], leaving: asyncio.Event, done: asyncio.Event) -> str:
        """Address for a pod that is ``leaving`` when the one event is set, and has no process when the other is."""
        labels = pod["metadata"].get("labels", {}).items()
        for service in services:
            selector = (service["spec"].get("selector") or {}).items()
            if selector and selector <= labels:
                address = self.of_service(service)
                assert address is not None
                while (holder := self._holders.get(address)) is not None and not holder[1].is_set():
                    if not holder[0].is_set():
                        return self._fresh()
                    await holder[1].wait()
                self._holders[address] = (leaving, done)
                return address
        return self._fresh()

    def _fresh(self) -> str:
        self._next += 1
        return f"127.{self._second}.{self._next // 250}.{self._next % 250 + 1}"

    def _reserve(self) -> int:
        for step in range(253):
            second = (os.getpid() + step) % 253 + 1
            try:
                self._claim.bind((f"127.{second}.255.254", _PORT))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return second
        raise RuntimeError("every range of loopback addresses is taken by another pod runner")
