"""Parsers of requests to the API server and of its refusals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Mutation:
    """One write request; ``code`` is 0 if it did not reach the server, or its answer is still outstanding."""

    method: str
    plural: str
    namespace: str
    name: str
    subresource: str
    code: int = 0


@dataclass
class Target:
    """The object that a path names."""

    plural: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @classmethod
    def of(cls, path: str) -> Target:
        parts = [part for part in path.split("/") if part]
        rest = parts[2:] if parts[:1] == ["api"] else parts[3:] if parts[:1] == ["apis"] else []
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        plural, name, subresource = [*rest, "", "", ""][:3]
        return cls(plural, namespace, name, subresource)


def status(code: int, message: str) -> dict[str, Any]:
    reasons = {410: "Expired", 429: "TooManyRequests", 500: "InternalError", 401: "Unauthorized", 409: "Conflict"}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reasons.get(code, ""),
        "message": message,
        "code": code,
    }
