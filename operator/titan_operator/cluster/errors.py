"""Errors between the operator and the API server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Server-side apply answers a field outside the schema with 500.
_UNTYPED = "failed to create typed patch object"
_POLICY = re.compile(r"ValidatingAdmissionPolicy '([^']+)' with binding '[^']+' denied request")


class ClusterError(Exception):
    """A call to the API server failed."""


class CredentialsError(ClusterError):
    """There are no credentials, or they cannot be used; the message names them and their source."""


class Unreachable(ClusterError):  # noqa: N818 - the state's name
    """The API server did not answer: refused, reset, timed out, or no valid response. A write may have taken effect."""


class ApiError(ClusterError):
    """The API server refused a request.

    Parameters
    ----------
    status
        HTTP status code.
    reason
        ``reason`` of the answered Status: ``NotFound``, ``Conflict``, ``Invalid``, ...; empty if it gave none.
    message
        Message of the answered Status.
    details
        ``details`` of the answered Status.
    retry_after_s
        Seconds after which the server permits a retry; None if it names no time.
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
        """Whether the object does not exist."""
        return self.status == 404 and self.served

    @property
    def served(self) -> bool:
        """Whether the API server serves the kind; false where a CRD is missing."""
        # An unknown path is answered by plain text, a missing object by a Status that names it.
        return self.status != 404 or bool(self.details.get("name"))

    @property
    def conflict(self) -> bool:
        """Whether another client wrote in between or owns the field, or a precondition does not hold."""
        return self.status == 409 and not self.already_exists

    @property
    def already_exists(self) -> bool:
        """Whether the object to create exists."""
        return self.status == 409 and self.reason == "AlreadyExists"

    @property
    def forbidden(self) -> bool:
        """Whether RBAC or admission denies the request."""
        return self.status == 403

    @property
    def unauthorized(self) -> bool:
        """Whether the credentials are not accepted."""
        return self.status == 401

    @property
    def invalid(self) -> bool:
        """Whether the object breaks its schema or a rule: the same request will fail again."""
        return self.status in (400, 422) or _UNTYPED in self.message

    @property
    def expired(self) -> bool:
        """Whether a list or watch continues from a version that the server has compacted."""
        return self.status == 410

    @property
    def transient(self) -> bool:
        """Whether the server is overloaded or failing: the same request may succeed later."""
        return self.status == 429 or (self.status >= 500 and not self.invalid)

    @property
    def denied_by_policy(self) -> str:
        """Name of the ValidatingAdmissionPolicy that denied the request; empty if none did."""
        found = _POLICY.search(self.message)
        return found.group(1) if found else ""
