"""Pure: a registry's authentication challenges, and the tokens of its realm."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import msgspec

from titan_operator.supplychain.registry.documents import DocumentError

_LONGEST_HEADER = 8192
_LONGEST_TOKEN = 32_768
# Default of Docker's token specification, for answers without a lifetime.
_DEFAULT_LIFE_S = 60.0
_LONGEST_LIFE_S = 3600.0
_TOKEN = re.compile(r"[\x21-\x7e]+")
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"\s*({_WORD})(?=\s|,|$)")
_PARAMETER = re.compile(rf'\s*({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))\s*(?=,|$)')


@dataclass(frozen=True)
class BasicChallenge:
    """Requires user and password with every request."""


@dataclass(frozen=True)
class BearerChallenge:
    """Requires a token, which ``realm`` issues.

    Attributes
    ----------
    realm
        URL, as written.
    service
        The registry's name at the realm; may be empty.
    """

    realm: str
    service: str


@dataclass(frozen=True)
class Token:
    """A token and its lifetime from its request, in seconds."""

    text: str = field(repr=False)
    life_s: float


def read_challenge(headers: list[str]) -> BasicChallenge | BearerChallenge:
    """Read ``WWW-Authenticate`` headers (RFC 9110); a token is preferred where both are offered.

    Raises
    ------
    DocumentError
        Neither is offered, or a header cannot be read.
    """
    offered = [challenge for header in headers for challenge in _challenges(header)]
    for scheme, parameters in offered:
        if scheme == "bearer" and parameters.get("realm"):
            return BearerChallenge(parameters["realm"], parameters.get("service", ""))
    if any(scheme == "basic" for scheme, _ in offered):
        return BasicChallenge()
    raise DocumentError('WWW-Authenticate: no way to log in; allowed are Basic and Bearer realm="…"')


def _challenges(header: str) -> list[tuple[str, dict[str, str]]]:
    if len(header) > _LONGEST_HEADER:
        raise DocumentError(f"WWW-Authenticate: {len(header)} characters; allowed are {_LONGEST_HEADER}")
    found: list[tuple[str, dict[str, str]]] = []
    at = 0
    while at < len(header):
        if header[at] in ", \t":
            at += 1
            continue
        parameter = _PARAMETER.match(header, at)
        if parameter is not None and found:
            value = parameter[3] if parameter[2] is None else re.sub(r"\\(.)", r"\1", parameter[2])
            # The first one counts: a second one could only mislead.
            found[-1][1].setdefault(parameter[1].lower(), value)
            at = parameter.end()
            continue
        scheme = _SCHEME.match(header, at)
        if scheme is None:
            raise DocumentError('WWW-Authenticate: not readable; allowed are Basic and Bearer realm="…"')
        found.append((scheme[1].lower(), {}))
        at = scheme.end()
    return found


def read_token(content: bytes) -> Token:
    """Read the answer of a realm.

    Raises
    ------
    DocumentError
        The answer has no token that can be sent in a header; the message does not show it.
    """
    try:
        answer = msgspec.json.decode(content, type=dict[str, object])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DocumentError("no JSON object; allowed is an object with token or access_token") from error
    text = answer.get("token") or answer.get("access_token")
    if not isinstance(text, str) or len(text) > _LONGEST_TOKEN or not _TOKEN.fullmatch(text):
        raise DocumentError("no token; allowed is an object with token or access_token, printable and without spaces")
    life = answer.get("expires_in")
    if isinstance(life, bool) or not isinstance(life, int | float) or not life > 0:
        life = _DEFAULT_LIFE_S
    return Token(text, float(min(life, _LONGEST_LIFE_S)))
