"""What keeps a registry's answer from being used."""

from __future__ import annotations

from enum import StrEnum


class RegistryProblem(StrEnum):
    """Why there is no answer that can be used."""

    UNREACHABLE = "Unreachable"
    """No connection, or it broke off before an answer."""
    UNTRUSTED_CERTIFICATE = "UntrustedCertificate"
    """Its TLS certificate is not trusted, or is another host's."""
    TIMED_OUT = "TimedOut"
    """Not in time, however much of it came."""
    UNAUTHORIZED = "Unauthorized"
    """Not with this login, or not without one."""
    NOT_FOUND = "NotFound"
    """The registry says it has no such thing."""
    TOO_MANY_REQUESTS = "TooManyRequests"
    """The registry wants to be asked later, and later is too late."""
    SERVER_ERROR = "ServerError"
    """A failure of its own, again and again."""
    UNEXPECTED_STATUS = "UnexpectedStatus"
    """An HTTP status that has no meaning here."""
    TOO_LARGE = "TooLarge"
    """More bytes than such a thing may have."""
    TRUNCATED = "Truncated"
    """Fewer bytes than were announced."""
    DIGEST_MISMATCH = "DigestMismatch"
    """Other bytes than those that were asked for."""
    REDIRECT_REFUSED = "RedirectRefused"
    """Led on to where it may not lead, or in circles."""
    PLAIN_HTTP_REFUSED = "PlainHttpRefused"
    """Led on to a place without TLS that the trust policy does not list."""
    MALFORMED = "Malformed"
    """Not what the OCI distribution specification says."""
    TOO_MANY_REFERRERS = "TooManyReferrers"
    """More things refer to one image than are looked at."""


class RegistryError(Exception):
    """A registry gave no answer that can be used.

    Parameters
    ----------
    reason
        What kind of problem it is.
    message
        One sentence that names the host, what was asked, what was expected and what was found; never a credential.
    """

    def __init__(self, reason: RegistryProblem, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
