"""Parsers of what registries and cosign write: whatever comes, an answer or their own one error."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.supplychain.trust_policies import public_pem, trust_policy
from titan_operator.supplychain.formats.bundle import BUNDLE_TYPE, read_bundle, read_statement
from titan_operator.supplychain.formats.errors import FormatError
from titan_operator.supplychain.formats.oci import Layer, read_layers
from titan_operator.supplychain.formats.simple_signing import PAYLOAD_TYPE, read_payload, read_signature
from titan_operator.supplychain.keys import KeyFormatError, load_public_key
from titan_operator.supplychain.refusals import Refused
from titan_operator.supplychain.signature_checks import Requirements, check_blob, check_bundle, check_simple_signing
from titan_operator.supplychain.trust import TrustPolicyError, load_trust_policy, read_trust_policy

DIGEST = "sha256:" + "a" * 64
ENVELOPE = {"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": "AAAA"}]}
BUNDLE = {"mediaType": BUNDLE_TYPE, "verificationMaterial": {"publicKey": {"hint": "x"}}, "dsseEnvelope": ENVELOPE}
STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"digest": {"sha256": "a" * 64}}],
    "predicateType": "https://sigstore.dev/cosign/sign/v1",
}
PAYLOAD = {"critical": {"image": {"docker-manifest-digest": DIGEST}, "type": "cosign container image signature"}}
MANIFEST = {"schemaVersion": 2, "layers": [{"digest": DIGEST, "size": 3, "mediaType": PAYLOAD_TYPE}]}
TRUST = trust_policy()
ASKED = Requirements(read_trust_policy(TRUST), "images", (), datetime(2026, 11, 21, tzinfo=UTC))

_leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_json = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def _spoiled(draw: st.DrawFn, document: Any) -> Any:
    """The document with one value anywhere in it replaced, or one field taken away."""
    if isinstance(document, dict) and document and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(document)))
        if draw(st.integers(0, 4)) == 0:
            return {name: value for name, value in document.items() if name != key}
        return {**document, key: draw(_spoiled(document[key]))}
    if isinstance(document, list) and document and draw(st.integers(0, 3)):
        return [draw(_spoiled(document[0])), *document[1:]]
    return draw(_json)


def _bytes_like(document: Any) -> st.SearchStrategy[bytes]:
    whole = json.dumps(document).encode()
    cut = st.integers(0, len(whole)).map(lambda length: whole[:length])
    changed = st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)).map(
        lambda at: whole[: at[0]] + bytes([at[1]]) + whole[at[0] + 1 :]
    )
    spoiled = _spoiled(document).map(lambda value: json.dumps(value).encode())
    return st.binary(max_size=200) | cut | changed | spoiled


READERS: list[tuple[str, Callable[[bytes], object], Any]] = [
    ("bundle", read_bundle, BUNDLE),
    ("statement", read_statement, STATEMENT),
    ("payload", read_payload, PAYLOAD),
    ("manifest", read_layers, MANIFEST),
]


@pytest.mark.parametrize(("read", "document"), [pytest.param(read, good, id=name) for name, read, good in READERS])
def test_what_is_good_is_read(read: Callable[[bytes], object], document: Any) -> None:
    assert read(json.dumps(document).encode())


@pytest.mark.parametrize(("read", "document"), [pytest.param(read, good, id=name) for name, read, good in READERS])
@given(data=st.data())
def test_readers_raise_their_own_error_only(
    read: Callable[[bytes], object], document: Any, data: st.DataObject
) -> None:
    with suppress(FormatError):
        read(data.draw(_bytes_like(document)))


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"", b"null", b"NaN", b"1e999"])
@pytest.mark.parametrize("read", [read for _, read, _ in READERS])
def test_odd_bytes_are_refused(read: Callable[[bytes], object], raw: bytes) -> None:
    with pytest.raises(FormatError):
        read(raw)


@given(data=st.data())
def test_no_bundle_that_nobody_signed_is_accepted(data: st.DataObject) -> None:
    raw = data.draw(_bytes_like(BUNDLE))
    assert isinstance(check_bundle(raw, DIGEST, ASKED), Refused)
    assert isinstance(check_blob(raw, b"x", ASKED), Refused)


@given(payload=_bytes_like(PAYLOAD), signature=st.binary(max_size=80).map(base64.b64encode) | st.binary(max_size=80))
def test_no_layer_that_nobody_signed_is_accepted(payload: bytes, signature: bytes) -> None:
    annotations = {"dev.cosignproject.cosign/signature": signature.decode("latin-1")}
    layer = Layer(digest=DIGEST, size=3, media_type=PAYLOAD_TYPE, annotations=annotations)
    with suppress(FormatError):
        read_signature(layer)
    assert isinstance(check_simple_signing(layer, payload, DIGEST, ASKED), Refused)


@given(data=st.data())
def test_a_trust_policy_is_read_or_refused_with_its_own_error(data: st.DataObject) -> None:
    with suppress(TrustPolicyError):
        assert load_trust_policy(data.draw(_bytes_like(TRUST))).hash.startswith("sha256:")


@given(data=st.data())
def test_a_key_is_read_or_refused_with_its_own_error(data: st.DataObject) -> None:
    whole = public_pem("release")
    at = data.draw(st.integers(0, len(whole) - 1))
    text = data.draw(st.just(whole[:at]) | st.characters().map(lambda c: whole[:at] + c + whole[at + 1 :]) | st.text())
    with suppress(KeyFormatError):
        load_public_key(text)


@given(signature=st.binary(max_size=100), message=st.binary(max_size=100))
def test_keys_refuse_whatever_they_did_not_sign(signature: bytes, message: bytes) -> None:
    assert not load_public_key(public_pem("release")).verifies(signature, message)
