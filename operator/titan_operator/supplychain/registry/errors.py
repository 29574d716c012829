"""Errors of registries."""

from __future__ import annotations

from enum import StrEnum


class RegistryProblem(StrEnum):
    """Reasons why a registry gave no usable answer."""

    UNREACHABLE = "Unreachable"
    """No connection, or it broke off before an answer."""
    UNTRUSTED_CERTIFICATE = "UntrustedCertificate"
    """Its TLS certificate is not trusted, or is another host's."""
    TIMED_OUT = "TimedOut"
    """The answer was not complete in time."""
    UNAUTHORIZED = "Unauthorized"
    """The login is refused, or one is required."""
    NOT_FOUND = "NotFound"
    """The registry has no such content."""
    TOO_MANY_REQUESTS = "TooManyRequests"
    """The registry limits requests, and the wait that it names is too long."""
    SERVER_ERROR = "ServerError"
    """The registry failed repeatedly."""
    UNEXPECTED_STATUS = "UnexpectedStatus"
    """An HTTP status that has no meaning here."""
    TOO_LARGE = "TooLarge"
    """More bytes than such content may have."""
    TRUNCATED = "Truncated"
    """Fewer bytes than were announced."""
    DIGEST_MISMATCH = "DigestMismatch"
    """Bytes of another digest than the requested one."""
    REDIRECT_REFUSED = "RedirectRefused"
    """A redirect to a forbidden place, or too many of them."""
    PLAIN_HTTP_REFUSED = "PlainHttpRefused"
    """A redirect to a host without TLS that the trust policy does not list."""
    MALFORMED = "Malformed"
    """The answer breaks the OCI distribution specification."""
    TOO_MANY_REFERRERS = "TooManyReferrers"
    """An image has more referrers than are checked."""


class RegistryError(Exception):
    """A registry gave no usable answer.

    Parameters
    ----------
    reason
        Kind of the problem.
    message
        One sentence that names the host, the request, what was expected and what was found; never a credential.
    """

    def __init__(self, reason: RegistryProblem, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
