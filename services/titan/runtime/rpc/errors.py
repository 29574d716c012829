"""Failures and refusals of calls."""

from __future__ import annotations

import grpc
import grpc.aio


class RpcError(Exception):
    """A call failed. ``unavailable``: the peer could not be reached, and the same call may succeed later."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message

    @property
    def unavailable(self) -> bool:
        """Whether the peer could not be reached or did not answer in time."""
        return self.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class RpcRefused(Exception):  # noqa: N818 — a refusal is an answer, not a defect
    """Raised by a handler to answer with a status other than OK."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class PortTakenError(OSError):
    """The address to serve on is taken; the message is one sentence."""
