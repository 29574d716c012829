"""Readers of registries' documents: good ones exactly, and one kind of error for any bad input."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titan_operator.supplychain.references import ReferenceFormatError, parse_reference
from titan_operator.supplychain.registry.challenges import (
    BasicChallenge,
    BearerChallenge,
    Token,
    read_challenge,
    read_token,
)
from titan_operator.supplychain.registry.credential_files import CredentialsFileError, read_docker_config
from titan_operator.supplychain.registry.documents import (
    Descriptor,
    DocumentError,
    read_error_code,
    read_index,
    read_next_link,
    read_retry_after,
)
from titan_operator.supplychain.registry.logins import basic

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def _index(*entries: object, version: object = 2) -> bytes:
    return json.dumps({"schemaVersion": version, "manifests": entries}).encode()


def test_an_index_is_read_in_its_order() -> None:
    entries = (
        {"digest": B, "mediaType": "m", "artifactType": BUNDLE, "size": 7, "annotations": {"a": "b"}},
        {"digest": A, "mediaType": "n", "size": 0},
    )
    assert read_index(_index(*entries)) == (
        Descriptor(B, "m", BUNDLE, 7, {"a": "b"}),
        Descriptor(A, "n", "", 0, {}),
    )


def test_a_list_without_entries_may_be_null() -> None:
    assert read_index(b'{"schemaVersion": 2, "manifests": null}') == ()
    with pytest.raises(DocumentError):
        read_index(b'{"schemaVersion": 2}')


@pytest.mark.parametrize(
    ("description", "entry", "left"),
    [
        ("no object", 7, False),
        ("no digest", {"mediaType": "m"}, False),
        ("another hash", {"digest": "sha512:" + "a" * 128}, False),
        ("capital letters", {"digest": "sha256:" + "A" * 64}, False),
        ("a path", {"digest": "../../x"}, False),
        ("a line's end after it", {"digest": A + "\n"}, False),
        ("a list for a digest", {"digest": [A]}, False),
        ("odd types beside a good digest", {"digest": A, "mediaType": 7, "artifactType": [], "size": "x"}, True),
        ("odd sizes", {"digest": A, "size": -7}, True),
        ("true for a size", {"digest": A, "size": True}, True),
        ("annotations that are none", {"digest": A, "annotations": [1]}, True),
        ("annotations with others than texts", {"digest": A, "annotations": {"a": 1}}, True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_odd_entry_hides_no_other(description: str, entry: object, left: bool) -> None:
    found = read_index(_index(entry, {"digest": B}))
    assert found == ((Descriptor(A), Descriptor(B)) if left else (Descriptor(B),)), description


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no JSON object"),
        (b"[]", "no JSON object"),
        (b"\xff\xfe", "no JSON object"),
        (b'{"a":' * 100_000, "no JSON object"),
        (b"{}", "no image index"),
        (_index(version=1), "no image index"),
        (b'{"schemaVersion": 2, "manifests": {}}', "no image index"),
        (b'{"schemaVersion": 2, "layers": [], "config": {}}', "no image index"),
    ],
)
def test_what_is_no_index_is_said(content: bytes, says: str) -> None:
    with pytest.raises(DocumentError, match=says):
        read_index(content)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", None),
        ('</v2/a/referrers/x?n=1>; rel="next"', "/v2/a/referrers/x?n=1"),
        ("<https://r.test/x>;rel=next", "https://r.test/x"),
        ('</a>; rel="prev", </b>; rel="next"', "/b"),
        ('</a>; title="a, b"; rel="last next"', "/a"),
        ('</a>; REL="Next"', "/a"),
        ('</a>; rel="nextish"', None),
        ('</a>; rel="next", </b>; rel="next"', "/a"),
        ("</a>", None),
    ],
)
def test_links_to_the_next_page(header: str, found: str | None) -> None:
    assert read_next_link(header) == found


@pytest.mark.parametrize("header", ["next", '</a; rel="next"', "</a> </b>", '</a>; rel="next', "<a b>; rel=next"])
def test_a_link_that_cannot_be_read_is_no_last_page(header: str) -> None:
    with pytest.raises(DocumentError, match="allowed is <URL>"):
        read_next_link(header)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("17", 17.0),
        (" 5 ", 5.0),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("9" * 400, None),
        ("Sat, 99 Nov 2026 12:00:30 GMT", None),
    ],
)
def test_times_to_wait(header: str, seconds: float | None) -> None:
    assert read_retry_after(header, NOW) == seconds


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "x"}]}', "MANIFEST_UNKNOWN"),
        (b'{"errors": [{"code": "a\\nb"}]}', ""),
        (b'{"errors": {}}', ""),
        (b'{"errors": []}', ""),
        (b'{"errors": [7]}', ""),
        (b"<html>", ""),
    ],
)
def test_error_codes(content: bytes, code: str) -> None:
    assert read_error_code(content) == code


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (['Basic realm="r"'], BasicChallenge()),
        (["basic"], BasicChallenge()),
        (['Bearer realm="https://a.test/t",service="s",scope="x"'], BearerChallenge("https://a.test/t", "s")),
        (["bearer realm=https-token"], BearerChallenge("https-token", "")),
        (['Basic realm="r"', 'Bearer realm="https://a.test/t"'], BearerChallenge("https://a.test/t", "")),
        (
            ['Basic realm="r", Bearer realm="https://a.test/t" , service = "s"'],
            BearerChallenge("https://a.test/t", "s"),
        ),
        (['Bearer service="a \\"b\\", c",realm="r"'], BearerChallenge("r", 'a "b", c')),
        (['Bearer realm="first",realm="second"'], BearerChallenge("first", "")),
        (['Negotiate, Basic realm="r"'], BasicChallenge()),
        (['Bearer service="s"', 'Basic realm="r"'], BasicChallenge()),
    ],
)
def test_challenges(headers: list[str], found: BasicChallenge | BearerChallenge) -> None:
    assert read_challenge(headers) == found


@pytest.mark.parametrize(
    "headers", [[], [""], ["Negotiate"], ["Bearer"], ['Bearer service="s"'], ['Bearer realm="x'], ["=="], ["B" * 9000]]
)
def test_what_offers_no_way_to_log_in(headers: list[str]) -> None:
    with pytest.raises(DocumentError, match="WWW-Authenticate"):
        read_challenge(headers)


@pytest.mark.parametrize(
    ("content", "token"),
    [
        (b'{"token": "t"}', Token("t", 60.0)),
        (b'{"access_token": "t", "expires_in": 300}', Token("t", 300.0)),
        (b'{"token": "t", "access_token": "u", "expires_in": 1e9}', Token("t", 3600.0)),
        (b'{"token": "t", "expires_in": 1' + b"0" * 400 + b"}", Token("t", 3600.0)),
        (b'{"token": "t", "expires_in": "300"}', Token("t", 60.0)),
        (b'{"token": "t", "expires_in": true}', Token("t", 60.0)),
        (b'{"token": "t", "expires_in": -5}', Token("t", 60.0)),
    ],
)
def test_tokens(content: bytes, token: Token) -> None:
    assert read_token(content) == token


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"token": 7}', b'{"token": "a b"}', b'{"token": "a\\r\\nX: y"}', b'{"token": "\\u00e4"}'],
)
def test_what_is_no_token_is_said_and_not_shown(content: bytes) -> None:
    with pytest.raises(DocumentError, match="allowed is an object with token or access_token"):
        read_token(content)


def test_a_token_is_not_shown() -> None:
    assert "hunter2" not in repr(Token("hunter2", 1.0))


# Whatever comes: a reader returns, or raises its own error.

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([A, B, 2]),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                [
                    "schemaVersion",
                    "manifests",
                    "digest",
                    "annotations",
                    "size",
                    "errors",
                    "code",
                    "token",
                    "auths",
                    "auth",
                ]
            )
            | st.text(),
            inner,
        )
    ),
    max_leaves=8,
)
_ENTRY = st.fixed_dictionaries({}, optional=dict.fromkeys(("digest", "mediaType", "size", "annotations"), _JSON))
_ODD_INDEX = st.builds(lambda entries: _index(*entries), st.lists(_ENTRY | _JSON))
_DOCUMENT = st.binary() | _JSON.map(lambda value: json.dumps(value).encode()) | _ODD_INDEX
_HEADER = st.text() | st.lists(
    st.sampled_from(
        [
            "Bearer",
            "Basic",
            " ",
            "realm",
            "=",
            '"',
            "\\",
            ",",
            ";",
            "<",
            ">",
            "/v2/a",
            "rel",
            "next",
            "https://",
            "\t",
            "é",
        ]
    ),
    max_size=40,
).map("".join)


@given(_DOCUMENT)
def test_no_document_breaks_the_readers_of_indexes_tokens_and_errors(content: bytes) -> None:
    with suppress(DocumentError):
        assert all(len(descriptor.digest) == 71 for descriptor in read_index(content))
    with suppress(DocumentError):
        assert read_token(content).text.isprintable()
    assert read_error_code(content).isascii()


@given(_HEADER)
def test_no_header_breaks_the_readers_of_challenges_links_and_times(header: str) -> None:
    with suppress(DocumentError):
        read_challenge([header])
    with suppress(DocumentError):
        read_next_link(header)
    seconds = read_retry_after(header, NOW)
    assert seconds is None or seconds >= 0


_AUTH = st.binary().map(lambda raw: base64.b64encode(raw).decode()) | _JSON
_LOGIN = st.fixed_dictionaries({}, optional={"auth": _AUTH, "username": _JSON, "password": _JSON})
_CONFIG = st.dictionaries(st.text(), _LOGIN | _JSON).map(lambda hosts: json.dumps({"auths": hosts}).encode())


@given(_DOCUMENT | _CONFIG)
def test_no_file_breaks_the_reader_of_logins(content: bytes) -> None:
    with suppress(CredentialsFileError):
        assert all(basic(login).isascii() for login in read_docker_config(content).values())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"auths":' * 100_000, "not JSON"),
        (b"\xff\xfe\xff", "not JSON"),
        (b'{"auths": {"r.test": {"auth": "\\u00e4"}}}', "auths.r.test: no login"),
        (b'{"auths": {"r.test": {"username": "ana", "password": "\\ud800"}}}', "auths.r.test: no login"),
        (b'{"auths": {"r.test\\n": 7}}', r"auths\.'r\.test\\n': no object"),
    ],
)
def test_odd_files_of_logins(content: bytes, says: str) -> None:
    with pytest.raises(CredentialsFileError, match=says):
        read_docker_config(content)


_REFERENCE = st.text() | st.lists(
    st.sampled_from(["a", "r.test", ":5000", "/", "@", A, "sha256:", ":", "docker.io", "..", "-", "A", "\n"]),
    max_size=12,
).map("".join)


@given(_REFERENCE)
def test_no_text_breaks_the_reader_of_references(text: str) -> None:
    try:
        reference = parse_reference(text)
    except ReferenceFormatError:
        return
    assert parse_reference(str(reference)) == reference
    assert ".." not in reference.repository.split("/")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (f"r.test/team/titan@{A}", f"r.test/team/titan@{A}"),
        (f"r.test:5000/titan@{A}", f"r.test:5000/titan@{A}"),
        (f"localhost/titan@{A}", f"localhost/titan@{A}"),
        (f"127.0.0.1:41/a/b__c/d-e@{A}", f"127.0.0.1:41/a/b__c/d-e@{A}"),
        (f"postgres@{A}", f"docker.io/library/postgres@{A}"),
        (f"team/titan@{A}", f"docker.io/team/titan@{A}"),
        (f"index.docker.io/nats@{A}", f"docker.io/library/nats@{A}"),
    ],
)
def test_references_by_digest(text: str, written: str) -> None:
    assert str(parse_reference(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "r.test/titan",
        "r.test/titan:v1",
        f"r.test/titan:v1@{A}",
        f"r.test/titan@{A}0",
        f"r.test/titan@{A}\n",
        f"r.test/titan@{A.upper()}",
        f"r.test/titan@sha512:{'a' * 128}",
        f"https://r.test/titan@{A}",
        f"r.test/Titan@{A}",
        f"r.test//titan@{A}",
        f"r.test/../titan@{A}",
        f"r.test/titan/@{A}",
        f"r.test/@{A}",
        f"-r.test/titan@{A}",
        f"r.test:port/titan@{A}",
        f"ana:b@r.test/titan@{A}",
        f"[::1]:5000/titan@{A}",
        f"@{A}",
        f"r.test/{'a' * 500}@{A}",
    ],
)
def test_what_is_no_reference_by_digest(text: str) -> None:
    with pytest.raises(ReferenceFormatError, match="allowed is an image by digest only"):
        parse_reference(text)
