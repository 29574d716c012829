"""What can go wrong between the operator and the API server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Server-side apply answers a field outside the schema with 500.
_UNTYPED = "failed to create typed patch object"
_POLICY = re.compile(r"ValidatingAdmissionPolicy '([^']+)' with binding '[^']+' denied request")


class ClusterError(Exception):
    """A call that did not do what was asked."""


class CredentialsError(ClusterError):
    """There are no credentials, or they cannot be used; the message says which and where."""


class Unreachable(ClusterError):  # noqa: N818 - the state's name
    """No answer of the API server: refused, reset, out of time, or not its language. A write may have taken effect."""


class ApiError(ClusterError):
    """The API server refused.

    Parameters
    ----------
    status
        HTTP status code.
    reason
        ``reason`` of the answered Status: ``NotFound``, ``Conflict``, ``Invalid``, ...; empty if it gave none.
    message
        What the server said.
    details
        ``details`` of the answered Status.
    retry_after_s
        When the server asks to be asked again, in seconds; None if it does not say.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.details: Mapping[str, Any] = details or {}
        self.retry_after_s = retry_after_s

    @property
    def not_found(self) -> bool:
        """The object does not exist."""
        return self.status == 404 and self.served

    @property
    def served(self) -> bool:
        """False where the API server does not know the kind at all: a CRD is missing."""
        # For an unknown path it answers plain text; for a missing object a Status that names it.
        return self.status != 404 or bool(self.details.get("name"))

    @property
    def conflict(self) -> bool:
        """Somebody else wrote in between, or owns the field, or a precondition does not hold."""
        return self.status == 409 and not self.already_exists

    @property
    def already_exists(self) -> bool:
        """The object to create is there."""
        return self.status == 409 and self.reason == "AlreadyExists"

    @property
    def forbidden(self) -> bool:
        """RBAC, or admission, does not allow it."""
        return self.status == 403

    @property
    def unauthorized(self) -> bool:
        """The credentials are not accepted."""
        return self.status == 401

    @property
    def invalid(self) -> bool:
        """The object breaks its schema or a rule; the same request will not do better."""
        return self.status in (400, 422) or _UNTYPED in self.message

    @property
    def expired(self) -> bool:
        """A list or watch continues from a version the server has compacted."""
        return self.status == 410

    @property
    def transient(self) -> bool:
        """The server is overloaded or in trouble: the same request may do better later."""
        return self.status == 429 or (self.status >= 500 and not self.invalid)

    @property
    def denied_by_policy(self) -> str:
        """Name of the ValidatingAdmissionPolicy that denied it; empty if none did."""
        found = _POLICY.search(self.message)
        return found.group(1) if found else ""
