"""The trust policy: whose signatures make an image run, and what was taken back. A file, mounted from a ConfigMap."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Literal

import rfc8785
from pydantic import ValidationError

from titan.domain.policy_rules import INSTANT_LONGEST, INSTANT_PATTERN, BooleanRule, RuleError, WordRule
from titan_operator.api.fields import Check, Items, ListRule, Model, PatternRule, by
from titan_operator.api.loading import sentences
from titan_operator.api.yaml_strict import YamlError, load_documents
from titan_operator.supplychain.keys import ALLOWED, KeyFormatError, PublicKey, key_id, read_public_key

_DIGEST = r"sha256:[0-9a-f]{64}"
_HOST = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?"
_REPOSITORY = rf"{_HOST}(/[a-z0-9][a-z0-9._-]{{0,100}}){{1,8}}"
_NAME = PatternRule(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", 63, "1 to 63 of A-Z, a-z, 0-9, ., _ and -")
_USES = ("images", "policies")
_PATTERNS = ListRule(
    1,
    50,
    rf"^{_HOST}(/[a-z0-9][a-z0-9._-]{{0,100}}){{0,8}}(/\*)?$",
    300,
    "a list of 1 to 50 different repositories like registry.example/titan/brain, or registry.example/* for all below",
)

Use = Literal["images", "policies"]


class TrustPolicyError(ValueError):
    """A file that is no trust policy; the message holds every sentence."""


class KeyRule(PatternRule, frozen=True):
    """A public key in PEM."""

    def read(self, value: object) -> str:
        """Raises RuleError; the key itself is not shown."""
        if not isinstance(value, str) or len(value) > self.longest:
            raise ValueError(f"no text of at most {self.longest} characters; allowed is {self.allowed}")
        try:
            read_public_key(value)
        except KeyFormatError as error:
            raise ValueError(str(error)) from error
        return value.strip() + "\n"


class InstantRule(PatternRule, frozen=True):
    """A moment, UTC."""

    def read(self, value: object) -> str:
        """Raises RuleError."""
        text = super().read(value)
        try:
            instant(text)
        except ValueError as error:
            raise RuleError(value, self.allowed) from error
        return text


def instant(text: str) -> datetime:
    """A moment as this file spells it."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _in_order(key: TrustedKey) -> ValueError | None:
    if key.not_before is None or key.not_after is None or key.not_before < key.not_after:
        return None
    return RuleError(key.not_after, f"notAfter later than notBefore, {key.not_before}")


_KEY = KeyRule(r"^-----BEGIN PUBLIC KEY-----[\s\S]*$", 4096, ALLOWED)
_INSTANT = InstantRule(INSTANT_PATTERN, INSTANT_LONGEST, 'a moment in UTC like "2027-01-31T00:00:00Z"')


class TrustedKey(Model):
    """A key that people of the release, or those who decide over risk, sign with."""

    checks = (Check(None, "notAfter: allowed is a moment later than notBefore", _in_order),)

    name: Annotated[str, by(_NAME)]
    """What it is called where something was verified by it. A name is never used for another key."""
    public_key: Annotated[str, by(_KEY)]
    """In PEM, as `cosign generate-key-pair` writes cosign.pub."""
    uses: Annotated[tuple[str, ...], by(ListRule(1, 2, "^(images|policies)$", 8, "a list of images and policies"))] = (
        "images",
    )
    """What it may sign: images, risk policies, or both."""
    images: Annotated[tuple[str, ...] | None, by(_PATTERNS)] = None
    """Repositories whose images it may sign; absent: all of `images`."""
    not_before: Annotated[str | None, by(_INSTANT)] = None
    """From when its signatures count, UTC."""
    not_after: Annotated[str | None, by(_INSTANT)] = None
    """Until when its signatures make something new run, UTC. What was verified before goes on."""
    require_log_entry: Annotated[bool, by(BooleanRule(""))] = False
    """Whether a signature counts only with an entry of one of `transparencyLogs`; then the entry's time is judged."""
    revoked: Annotated[bool, by(BooleanRule(""))] = False
    """Its signatures count no more, and what only it has signed is taken off the list."""

    @cached_property
    def key(self) -> PublicKey:
        """To verify with."""
        return read_public_key(self.public_key)


class TransparencyLog(Model):
    """A log whose signed entries are believed."""

    name: Annotated[str, by(_NAME)]
    """What it is called."""
    public_key: Annotated[str, by(_KEY)]
    """In PEM."""

    @cached_property
    def key(self) -> PublicKey:
        """To verify with."""
        return read_public_key(self.public_key)


class Mirror(Model):
    """Where else the images of a registry are."""

    registry: Annotated[str, by(PatternRule(f"^{_HOST}$", 260, "HOST or HOST:PORT"))]
    """The registry that images are named by."""
    hosts: Annotated[
        tuple[str, ...], by(ListRule(1, 5, f"^{_HOST}$", 260, "a list of 1 to 5 different HOST or HOST:PORT"))
    ]
    """Asked before it, in this order."""


class Registries(Model):
    """How registries are reached."""

    plain_http: Annotated[
        tuple[str, ...], by(ListRule(0, 20, f"^{_HOST}$", 260, "a list of up to 20 different HOST or HOST:PORT"))
    ] = ()
    """Asked without TLS: for a registry on the same machine. What it answers is checked by digest and signature."""
    mirrors: Annotated[tuple[Mirror, ...], Items(0, 20)] = ()
    """Asked first."""


def _names_differ(policy: TrustPolicy) -> ValueError | None:
    names = [key.name for key in policy.keys] + [log.name for log in policy.transparency_logs]
    twice = next((name for name in names if names.count(name) > 1), None)
    return None if twice is None else RuleError(twice, "a name of its own for each key and log")


def _keys_differ(policy: TrustPolicy) -> ValueError | None:
    # One key under two names could be revoked under one and go on under the other.
    ids = [key_id(item.key) for item in policy.keys]
    twice = next((item.name for item in policy.keys if ids.count(key_id(item.key)) > 1), None)
    return None if twice is None else RuleError(twice, "each public key once, under one name")


class TrustPolicy(Model):
    """Whose signatures make an image run in stacks. What is not allowed here is refused."""

    checks = (
        Check(None, "names differ", _names_differ),
        Check(None, "keys differ", _keys_differ),
    )

    keys: Annotated[tuple[TrustedKey, ...], Items(1, 20)]
    """Keys that count: signatures by any one of them do."""
    images: Annotated[tuple[str, ...], by(_PATTERNS)]
    """Repositories whose images may run in stacks at all."""
    transparency_logs: Annotated[tuple[TransparencyLog, ...], Items(0, 10)] = ()
    """Logs that are believed where a key requires an entry."""
    revoked_digests: Annotated[
        tuple[str, ...], by(ListRule(0, 500, f"^{_DIGEST}$", 71, "a list of up to 500 different digests, sha256:…"))
    ] = ()
    """Images that are taken back: taken off the list at once, told of where they run."""
    on_revocation: Annotated[str, by(WordRule(("Report", "Drain"), ""))] = "Report"
    """What happens to a process whose image is taken back: it is told of, or also drained and ended."""
    infrastructure: Annotated[
        tuple[str, ...],
        by(ListRule(0, 20, f"^{_REPOSITORY}@{_DIGEST}$", 500, "a list of up to 20 different images by digest")),
    ] = ()
    """What data namespaces may run, besides: images that the release has mirrored and signed."""
    registries: Registries = Registries()
    """How registries are reached."""

    @cached_property
    def hash(self) -> str:
        """``sha256:`` of the canonical form: what a verdict was made under."""
        document = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return "sha256:" + hashlib.sha256(b"titan.trustpolicy.v1\n" + rfc8785.dumps(document)).hexdigest()

    @cached_property
    def logs(self) -> Mapping[bytes, PublicKey]:
        """Keys of the trusted logs by their id."""
        return {key_id(log.key): log.key for log in self.transparency_logs}

    def keys_for(self, use: Use) -> tuple[TrustedKey, ...]:
        """Keys that may sign images, or risk policies; the revoked ones among them."""
        return tuple(key for key in self.keys if use in key.uses)

    def allows(self, key: TrustedKey, repository: str) -> bool:
        """Whether ``key`` may sign the images of ``repository`` (``HOST/PATH``)."""
        return matches(self.images, repository) and (key.images is None or matches(key.images, repository))


def matches(patterns: tuple[str, ...], repository: str) -> bool:
    """Whether one of the patterns names the repository, or with ``/*`` something above it."""
    return any(
        repository.startswith(pattern[:-1]) if pattern.endswith("/*") else repository == pattern for pattern in patterns
    )


def load_trust_policy(text: bytes) -> TrustPolicy:
    """Read a trust policy.

    Raises
    ------
    TrustPolicyError
        With every problem: field, value and what is allowed.
    """
    try:
        documents = load_documents(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise TrustPolicyError(f"byte {error.start} is not UTF-8") from error
    except YamlError as error:
        raise TrustPolicyError(str(error)) from error
    if len(documents) != 1:
        raise TrustPolicyError(f"{len(documents)} documents; allowed is one")
    try:
        return TrustPolicy.model_validate(documents[0])
    except ValidationError as error:
        raise TrustPolicyError("; ".join(sentences(error))) from error
