"""Pure: the trust policy: the signers of each image. Its hash, and reading it from YAML or JSON.

It is one document, so that a change of it is accepted or refused as a whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache, cached_property
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from titan.domain.policy_hash import canonical_bytes
from titan.domain.policy_rules import shown, spelled
from titan_operator.api.schemas import struct_schema
from titan_operator.api.status import Digest, Instant
from titan_operator.api.verified_images import MAX_PINNED
from titan_operator.api.yaml_strict import YamlError, load_documents
from titan_operator.supplychain.keys import KeyFormatError, PublicKey, load_public_key
from titan_operator.supplychain.references import (
    HOST_PATTERN,
    ReferenceFormatError,
    parse_reference,
    pattern_expression,
)

# Domain separation: the hash of a trust policy is never that of another document.
_SEPARATOR = b"titan.trustpolicy.v1\n"
Host = Annotated[str, Meta(pattern=f"^{HOST_PATTERN}$", max_length=260)]
SignerName = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$", max_length=63)]
Use = Literal["images", "policies"]
_LINE = r"^[^\x00-\x1f\x7f]+$"


class TrustPolicyError(ValueError):
    """The document is no trust policy; one sentence names the field, the value and what is allowed."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """Base: written by people, so an unknown field is refused."""


class TrustedKey(_Part, frozen=True, kw_only=True, dict=True):
    """A public key whose signatures count."""

    name: SignerName
    """Name of the key in verdicts and lists; each has another one."""
    pem: Annotated[str, Meta(max_length=4096)]
    """The public key in PEM: ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits."""
    uses: Annotated[tuple[Use, ...], Meta(min_length=1, max_length=2)] = ("images",)
    """Uses for which its signatures count: images, policies (signed risk policies), or both. Default: images."""
    not_before: Instant | None = None
    """Time from which its signatures count, UTC. Default: always."""
    not_after: Instant | None = None
    """Time until which they verify new images, UTC; images verified before stay listed. Default: for ever."""
    revoked: bool = False
    """Its signatures no longer count, and images that only it has signed are removed from the list. Default: false."""
    transparency_log: bool = False
    """Whether a bundle must carry an entry of a log of trustedRoot; the older format cannot. Default: false."""

    @cached_property
    def public(self) -> PublicKey:
        """The key itself."""
        return load_public_key(self.pem)


class TrustedIdentity(_Part, frozen=True, kw_only=True):
    """An identity whose short-lived certificates (keyless signatures) count for images."""

    name: SignerName
    """Name of the identity in verdicts and lists; each has another one, also among keys."""
    issuer: Annotated[str, Meta(pattern=_LINE, max_length=500)]
    """Issuer of the identity when it signed, as https://token.actions.githubusercontent.com."""
    subject: Annotated[str, Meta(pattern=_LINE, max_length=500)]
    """The identity in the certificate, exactly: an address of a workflow, or of e-mail."""
    revoked: bool = False
    """Its signatures no longer count, and images that only it has signed are removed from the list. Default: false."""


class ImageRule(_Part, frozen=True, kw_only=True, dict=True):
    """Images that may run when one of the signers has signed them."""

    pattern: Annotated[str, Meta(pattern=r"^[a-z0-9*][a-z0-9._:/*-]*$", max_length=300)]
    """Name with registry and without digest; * is any text without /, ** any text."""
    signed_by: Annotated[tuple[SignerName, ...], Meta(max_length=50)] = ()
    """Names of keys and identities. Default: any of this policy that is for images."""

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        return pattern_expression(self.pattern)

    def matches(self, name: str) -> bool:
        """Whether the rule applies to the image of this name (registry and path)."""
        return self._expression.fullmatch(name) is not None


class Mirror(_Part, frozen=True, kw_only=True):
    """Mirrors of a registry."""

    registry: Host
    """The registry, as references of images name it."""
    hosts: Annotated[tuple[Host, ...], Meta(min_length=1, max_length=8)]
    """Hosts that are queried in this order before the registry itself."""


class Registries(_Part, frozen=True, kw_only=True):
    """Access to registries; by TLS, except for the hosts in plainHttp."""

    plain_http: Annotated[tuple[Host, ...], Meta(max_length=20)] = ()
    """Hosts that are reached without TLS: their answers can be read and changed on the way, but signatures cannot be
    forged."""
    mirrors: Annotated[tuple[Mirror, ...], Meta(max_length=20)] = ()
    """Mirrors by registry."""


class TrustPolicy(_Part, frozen=True, kw_only=True, dict=True):
    """The signers of each image, revocations, and access to registries."""

    keys: Annotated[tuple[TrustedKey, ...], Meta(max_length=50)] = ()
    """Public keys."""
    identities: Annotated[tuple[TrustedIdentity, ...], Meta(max_length=50)] = ()
    """Identities of keyless signatures."""
    trusted_root: Annotated[str, Meta(max_length=262144)] | None = None
    """Text of trusted_root.json: the certificate authorities and logs that identities and transparencyLog need."""
    images: Annotated[tuple[ImageRule, ...], Meta(min_length=1, max_length=100)]
    """Images that may run, with their signers; the first rule whose pattern matches decides."""
    infrastructure: Annotated[tuple[Annotated[str, Meta(max_length=500)], ...], Meta(max_length=MAX_PINNED)] = ()
    """Images of PostgreSQL and NATS that data namespaces may run, each by digest (NAME@sha256:…)."""
    revoked_digests: Annotated[tuple[Digest, ...], Meta(max_length=2000)] = ()
    """Digests of images that may no longer run, whatever their signatures."""
    on_revocation: Literal["Report", "Drain"] = "Report"
    """Action on running processes of a revoked image. Default: Report."""
    registries: Registries = Registries()
    """Access to registries."""

    @cached_property
    def hash(self) -> str:
        """``sha256:`` and 64 hexadecimal digits over the RFC 8785 JSON of all fields that are not at their default."""
        return f"sha256:{hashlib.sha256(_SEPARATOR + canonical_bytes(msgspec.to_builtins(self))).hexdigest()}"

    @property
    def signers(self) -> Sequence[TrustedKey | TrustedIdentity]:
        """Keys and identities."""
        return (*self.keys, *self.identities)

    def rule_for(self, name: str) -> ImageRule | None:
        """Return the first rule for images of this name (registry and path), if any."""
        return next((rule for rule in self.images if rule.matches(name)), None)


def instant(text: str) -> datetime:
    """Read an instant, UTC.

    Raises
    ------
    ValueError
        The day or time does not exist.
    """
    return datetime.fromisoformat(text)


def load_trust_policy(text: bytes) -> TrustPolicy:
    """Read a trust policy in YAML (JSON is YAML too).

    Raises
    ------
    TrustPolicyError
        It is none; the sentence names the first field that is wrong.
    """
    try:
        documents = load_documents(text.decode())
    except UnicodeDecodeError as error:
        raise TrustPolicyError("not UTF-8; allowed is a trust policy in YAML") from error
    except (YamlError, RecursionError) as error:
        raise TrustPolicyError(str(error)) from error
    if len(documents) != 1:
        raise TrustPolicyError(f"{len(documents)} documents; allowed is one trust policy")
    return read_trust_policy(documents[0])


def read_trust_policy(document: object) -> TrustPolicy:
    """Read a decoded trust policy.

    Raises
    ------
    TrustPolicyError
        It is none; the sentence names the first field that is wrong.
    """
    try:
        policy = msgspec.convert(document, TrustPolicy)
    except msgspec.ValidationError as error:
        raise TrustPolicyError(_sentence(str(error), document)) from error
    except UnicodeEncodeError as error:
        raise TrustPolicyError("a lone surrogate in a text; allowed are characters") from error
    problem = next(_contradictions(policy), None)
    if problem is not None:
        raise TrustPolicyError(problem)
    return policy


def trust_policy_schema() -> dict[str, Any]:
    """Return the JSON schema of a trust policy, for the chart's values and the reference."""
    return struct_schema(TrustPolicy)


def _contradictions(policy: TrustPolicy) -> Iterator[str]:
    if not policy.keys and not policy.identities:
        yield "keys: none, and no identities; allowed is at least one of both"
    yield from _keys(policy)
    yield from _identities(policy)
    names = {signer.name for signer in policy.signers}
    allowed = ", ".join(sorted(names))
    for index, rule in enumerate(policy.images):
        for name in rule.signed_by:
            if name not in names:
                yield f"images[{index}].signedBy: {name}; allowed are names of keys and identities: {allowed}"
    for index, image in enumerate(policy.infrastructure):
        try:
            parse_reference(image)
        except ReferenceFormatError as error:
            yield f"infrastructure[{index}]: {error}"
    seen: set[str] = set()
    for index, mirror in enumerate(policy.registries.mirrors):
        if mirror.registry in seen:
            yield f"registries.mirrors[{index}].registry: {mirror.registry} is given twice; allowed is once"
        seen.add(mirror.registry)


def _keys(policy: TrustPolicy) -> Iterator[str]:
    names: set[str] = set()
    identities: dict[str, str] = {}
    for index, key in enumerate(policy.keys):
        where = f"keys[{index}]"
        if key.name in names:
            yield f"{where}.name: {key.name} is given twice; allowed is another name for each key"
        names.add(key.name)
        try:
            identity = key.public.identity
        except KeyFormatError as error:
            yield f"{where}.pem: {error}"
            continue
        if identity in identities:
            # Otherwise one entry could be revoked while the other still counts.
            yield f"{where}.pem: the key of {identities[identity]}; allowed is each key once"
        identities[identity] = key.name
        yield from _window(key, where)


def _identities(policy: TrustPolicy) -> Iterator[str]:
    names = {key.name for key in policy.keys}
    for index, identity in enumerate(policy.identities):
        if identity.name in names:
            yield f"identities[{index}].name: {identity.name} is given twice; allowed is another name for each signer"
        names.add(identity.name)
    needing = [f"keys[{index}].transparencyLog" for index, key in enumerate(policy.keys) if key.transparency_log]
    needing += ["identities"] if policy.identities else []
    if needing and policy.trusted_root is None:
        yield f"trustedRoot: missing; {needing[0]} needs the text of trusted_root.json"
    if policy.trusted_root is not None:
        try:
            whole = isinstance(msgspec.json.decode(policy.trusted_root), dict)
        except (msgspec.DecodeError, RecursionError):
            whole = False
        if not whole:
            yield "trustedRoot: no JSON object; allowed is the text of trusted_root.json"


def _window(key: TrustedKey, where: str) -> Iterator[str]:
    bounds = {}
    for field, text in (("notBefore", key.not_before), ("notAfter", key.not_after)):
        if text is None:
            continue
        try:
            bounds[field] = instant(text)
        except ValueError:
            yield f"{where}.{field}: {text}; allowed is a day and time that exist, UTC, like 2027-01-31T00:00:00Z"
    if len(bounds) == 2 and bounds["notBefore"] >= bounds["notAfter"]:
        yield f"{where}.notAfter: {key.not_after}; allowed is later than notBefore, {key.not_before}"


_schema = cache(trust_policy_schema)
_PLACED = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>\$.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_EXPECTED = re.compile(r"Expected (?P<allowed>.*?)(?:, got .*)?", re.DOTALL)
_FIELD = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL)


def _sentence(message: str, document: object) -> str:
    # msgspec names what it expected and where, but not what it found.
    placed = _PLACED.fullmatch(message)
    assert placed is not None
    what, path = placed["what"], (placed["path"] or "$")
    value, schema = _at(document, path)
    where = path.removeprefix("$").removeprefix(".")
    field = _FIELD.fullmatch(what)
    if field is not None:
        name = f"{where}.{shown(field['name'])}".removeprefix(".")
        if field["what"] == "missing required":
            return f"{name}: missing"
        return f"{name}: no such field; allowed are {', '.join(schema['properties'])}"
    expected = _EXPECTED.fullmatch(what)
    allowed = expected["allowed"].replace("`", "") if expected else " or ".join(schema["enum"])
    # A private key that was pasted instead of the public one must not reach a log.
    stated = "not as it must be" if where.endswith(".pem") else spelled(value)
    return f"{where or 'trust policy'}: {stated}; allowed is {allowed}"


def _at(document: object, path: str) -> tuple[object, dict[str, Any]]:
    # The value at a path of msgspec, and its schema.
    value, schema = document, _schema()
    for name, index in _STEP.findall(path):
        if name:
            value = value.get(name) if isinstance(value, dict) else None
            schema = schema["properties"][name]
        else:
            value = value[int(index)] if isinstance(value, list) else None
            schema = schema["items"]
    return value, schema
