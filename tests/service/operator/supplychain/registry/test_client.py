"""The client of registries against registries that are wrong, slow and hostile: one reason for each."""

from __future__ import annotations

import asyncio
import gzip
import random
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate

import pytest
from aiohttp import web

from support.supplychain.registry import Fault, RegistryServer, digest_of
from support.supplychain.registry_faults import answers, breaks_off, drips, floods, hangs, leads_to, speaks, status
from support.supplychain.registry_fixture import (
    NAME,
    NOTHING,
    SECRET,
    RegistryFixture,
)
from titan_operator.supplychain.registry import RegistryError, RegistryProblem, Repository
from titan_operator.supplychain.registry.client import MANIFEST_LIMIT_BYTES


async def test_a_manifest_and_a_blob_are_read_byte_for_byte(fixture: RegistryFixture) -> None:
    content = b'{ "schemaVersion": 2,\n"config": {} }'
    digest, blob = fixture.server.put_manifest(NAME, content, "v1"), fixture.server.put_blob(NAME, b"\x00\xff")
    client = fixture.client()
    manifest = await client.manifest(fixture.repository, digest)
    assert (manifest.digest, manifest.content) == (digest, content)
    assert manifest.media_type == "application/vnd.oci.image.manifest.v1+json"
    assert await client.blob(fixture.repository, blob, 2) == b"\x00\xff"
    assert [manifest async for manifest in client.tagged(fixture.repository, "v1")] == [manifest]
    assert [manifest async for manifest in client.tagged(fixture.repository, "v2")] == []


async def test_a_registry_that_likes_to_compress_is_asked_not_to(fixture: RegistryFixture) -> None:
    digest = fixture.server.put_blob(NAME, b"plain")

    async def compresses(request: web.BaseRequest) -> web.Response | None:
        if "identity" in request.headers["Accept-Encoding"]:
            return None
        return web.Response(body=gzip.compress(b"plain"), headers={"Content-Encoding": "gzip"})

    fixture.server.fault("/blobs/", compresses)
    assert await fixture.client().blob(fixture.repository, digest, 100) == b"plain"


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
async def test_bytes_are_taken_as_they_are_and_never_unpacked(fixture: RegistryFixture, encoding: str) -> None:
    # A compressed answer would have another digest, and a small one could become very large.
    digest = fixture.server.put_blob(NAME, b"plain")
    if encoding:
        fixture.server.fault("/blobs/", answers(b"plain", Content_Encoding=encoding))
        with pytest.raises(RegistryError) as caught:
            await fixture.client().blob(fixture.repository, digest, 100)
        assert caught.value.reason is RegistryProblem.MALFORMED
    else:
        assert await fixture.client().blob(fixture.repository, digest, 100) == b"plain"


def _other_bytes(_scene: RegistryFixture) -> Fault:
    return answers(b"other bytes")


@dataclass(frozen=True)
class Row:
    """A fault on every manifest and blob, and what the client must say of it."""

    description: str
    fault: Callable[[RegistryFixture], Fault]
    reason: RegistryProblem
    says: str
    requests: int = 1


# Only what hangs takes longer.
PATIENCE_S = 120.0
ROWS = [
    Row("lies about bytes", _other_bytes, RegistryProblem.DIGEST_MISMATCH, digest_of(b"other bytes")),
    Row("sends nothing", lambda _: answers(b""), RegistryProblem.DIGEST_MISMATCH, "expected bytes of sha256:"),
    Row("has it not", lambda _: status(404), RegistryProblem.NOT_FOUND, "status 404 (UNKNOWN)"),
    Row("wants a login in no way", lambda _: status(401), RegistryProblem.UNAUTHORIZED, "no way to log in"),
    Row(
        "wants a login that is not there",
        lambda _: status(401, WWW_Authenticate='Basic realm="x"'),
        RegistryProblem.UNAUTHORIZED,
        "no login for this host",
    ),
    Row(
        "wants a login in an unknown way",
        lambda _: status(401, WWW_Authenticate="Negotiate"),
        RegistryProblem.UNAUTHORIZED,
        "allowed are Basic and Bearer",
    ),
    Row("forbids", lambda _: status(403), RegistryProblem.UNAUTHORIZED, "status 403"),
    Row("is gone", lambda _: status(410), RegistryProblem.UNEXPECTED_STATUS, "status 410"),
    Row("has no content", lambda _: status(204), RegistryProblem.UNEXPECTED_STATUS, "status 204"),
    Row("wants quiet", lambda _: status(429), RegistryProblem.TOO_MANY_REQUESTS, "status 429 4 times", 4),
    Row(
        "wants quiet for an hour",
        lambda _: status(429, Retry_After="3600"),
        RegistryProblem.TOO_MANY_REQUESTS,
        "with a retry in 3600.0 s",
    ),
    Row(
        "wants quiet until next year",
        lambda _: status(429, Retry_After=formatdate(time.time() + 365 * 86_400, usegmt=True)),
        RegistryProblem.TOO_MANY_REQUESTS,
        "with a retry in 3153",
    ),
    Row(
        "is being mended for an hour",
        lambda _: status(503, Retry_After="3600"),
        RegistryProblem.SERVER_ERROR,
        "status 503, with a retry in 3600.0 s",
    ),
    Row("is overloaded", lambda _: status(503), RegistryProblem.SERVER_ERROR, "status 503 4 times", 4),
    Row("fails", lambda _: status(500), RegistryProblem.SERVER_ERROR, "status 500 again", 2),
    Row("has a dead back end", lambda _: status(502), RegistryProblem.SERVER_ERROR, "status 502 again", 2),
    Row("is too large", lambda _: answers(b" " * (2**22 + 1)), RegistryProblem.TOO_LARGE, "4194305 announced"),
    Row("never ends", lambda _: floods(), RegistryProblem.TOO_LARGE, "at most 4194304 bytes, found more"),
    Row("breaks off", lambda _: breaks_off(b"abc", 100), RegistryProblem.TRUNCATED, "a part of it", 2),
    # aiohttp asks once more by itself, each time.
    Row("hangs up", lambda _: speaks(b""), RegistryProblem.UNREACHABLE, "expected a connection", 4),
    Row("speaks no HTTP", lambda _: speaks(b"SSH-2.0-x\r\n\r\n"), RegistryProblem.MALFORMED, "expected HTTP"),
    Row("hangs", lambda _: hangs(), RegistryProblem.TIMED_OUT, "expected an answer in 0.5 s"),
    Row("drips", lambda _: drips(0.05), RegistryProblem.TIMED_OUT, "expected an answer in 0.5 s"),
    Row(
        "leads in circles",
        lambda fixture: leads_to(f"{fixture.server.url}/v2/{NAME}/manifests/x"),
        RegistryProblem.REDIRECT_REFUSED,
        "expected at most 5 redirects",
        6,
    ),
    Row(
        "leads to a host without TLS",
        lambda _: leads_to("http://169.254.169.254/latest"),
        RegistryProblem.PLAIN_HTTP_REFUSED,
        "http to 169.254.169.254",
    ),
    Row(
        "leads to its own port by another name",
        lambda fixture: leads_to(f"http://localhost:{fixture.server.host.partition(':')[2]}/x"),
        RegistryProblem.PLAIN_HTTP_REFUSED,
        "http to localhost",
    ),
    Row("leads to a file", lambda _: leads_to("file:///etc/passwd"), RegistryProblem.REDIRECT_REFUSED, "status 307"),
    Row("leads to another protocol", lambda _: leads_to("ftp://x.test/y"), RegistryProblem.REDIRECT_REFUSED, "https"),
    Row(
        "leads to a place with a user",
        lambda _: leads_to(f"https://ana:{SECRET}@x.test/y"),
        RegistryProblem.REDIRECT_REFUSED,
        "without a user",
    ),
    Row("leads nowhere", lambda _: leads_to(""), RegistryProblem.REDIRECT_REFUSED, "without a usable Location"),
    Row("leads to no URL", lambda _: leads_to("https://[x"), RegistryProblem.REDIRECT_REFUSED, "usable Location"),
    Row("leads to no port", lambda _: leads_to("https://x.test:99999/"), RegistryProblem.REDIRECT_REFUSED, "Location"),
    Row("leads to no name", lambda _: leads_to("https://xn--.test/"), RegistryProblem.REDIRECT_REFUSED, "Location"),
    Row(
        "leads to a name that cannot be",
        lambda _: leads_to(f"https://{'a' * 70}.test/"),
        RegistryProblem.UNREACHABLE,
        "expected a connection",
        2,
    ),
]


# A tag may be absent, and says nothing of its bytes: these have tests of their own.
_NOT_OF_TAGS = {RegistryProblem.NOT_FOUND, RegistryProblem.DIGEST_MISMATCH}
_KINDS = ("manifest", "blob", "tag")


@pytest.mark.parametrize(
    ("row", "kind"),
    [(row, kind) for row in ROWS for kind in _KINDS if kind != "tag" or row.reason not in _NOT_OF_TAGS],
    ids=lambda value: value.description if isinstance(value, Row) else value,
)
async def test_each_fault_has_its_own_reason(fixture: RegistryFixture, row: Row, kind: str) -> None:
    digest, blob = fixture.server.put_manifest(NAME, b"{}", "v1"), fixture.server.put_blob(NAME, b"x")
    fixture.server.fault("/(manifests|blobs)/", row.fault(fixture))
    slow = row.reason is RegistryProblem.TIMED_OUT
    client = fixture.client(timeout_s=0.5 if slow else 10.0)
    asks: dict[str, Callable[[], Awaitable[object]]] = {
        "manifest": lambda: client.manifest(fixture.repository, digest),
        "blob": lambda: client.blob(fixture.repository, blob, MANIFEST_LIMIT_BYTES),
        "tag": lambda: anext(client.tagged(fixture.repository, "v1")),
    }
    with pytest.raises(RegistryError) as caught:
        async with asyncio.timeout(PATIENCE_S):
            await asks[kind]()
    assert caught.value.reason is row.reason, str(caught.value)
    assert row.says in str(caught.value)
    assert str(caught.value).startswith(f"{fixture.server.host}: {kind} ")
    assert SECRET not in str(caught.value)
    assert fixture.server.count() == row.requests


@pytest.mark.parametrize(
    ("description", "fault", "waits_s"),
    [
        ("busy twice", status(429, 2), [0.2, 0.4]),
        ("busy, and says for how long", status(503, 1, Retry_After="3"), [3.0]),
        ("busy, and says something else", status(429, 1, Retry_After="soon"), [0.2]),
        ("busy, until a time that is over", status(429, 1, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), [0.0]),
        ("failed once", status(500, 1), [0.2]),
        ("broke off once", breaks_off(b"x", 10, 1), [0.2]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_passes_is_waited_for(
    fixture: RegistryFixture, description: str, fault: Fault, waits_s: list[float]
) -> None:
    digest = fixture.server.put_blob(NAME, b"x")
    fixture.server.fault("/blobs/", fault)
    assert await fixture.client().blob(fixture.repository, digest, 10) == b"x", description
    assert fixture.waits.asked_s == waits_s


async def test_a_blob_of_the_limit_passes_and_one_byte_more_does_not(fixture: RegistryFixture) -> None:
    digest = fixture.server.put_blob(NAME, b"x" * 1000)
    assert len(await fixture.client().blob(fixture.repository, digest, 1000)) == 1000
    with pytest.raises(RegistryError, match="at most 999 bytes, found 1000 announced") as caught:
        await fixture.client().blob(fixture.repository, digest, 999)
    assert caught.value.reason is RegistryProblem.TOO_LARGE


@pytest.mark.parametrize(
    "digest", ["", "sha256:abc", "sha512:" + "0" * 128, "../../other/blobs/x", "sha256:" + "A" * 64]
)
async def test_only_a_digest_that_can_be_checked_is_asked_for(fixture: RegistryFixture, digest: str) -> None:
    for ask in (
        fixture.client().manifest(fixture.repository, digest),
        fixture.client().blob(fixture.repository, digest, 9),
    ):
        with pytest.raises(RegistryError, match="expected a digest of sha256") as caught:
            await ask
        assert caught.value.reason is RegistryProblem.MALFORMED
    assert fixture.server.count() == 0


async def test_nobody_listens(fixture: RegistryFixture) -> None:
    async with RegistryServer().serving() as gone:
        host = gone.host
    with pytest.raises(RegistryError) as caught:
        await fixture.client(plain=(host,)).manifest(Repository(host, NAME), NOTHING)
    assert caught.value.reason is RegistryProblem.UNREACHABLE
    assert str(caught.value).startswith(f"{host}: manifest {NOTHING} of {NAME}: expected a connection, found none")


async def test_what_storage_is_led_to_by_is_nowhere_in_an_error(fixture: RegistryFixture) -> None:
    signed = f"/storage?X-Signature={SECRET}"
    fixture.server.fault("/v2/", leads_to(signed))
    faults = (
        speaks(b"SSH-2.0-x\r\n\r\n"),
        speaks(b""),
        breaks_off(b"x", 9),
        status(403),
        status(500),
        leads_to(signed),
    )
    for fault in faults:
        fixture.server.faults[1:] = []
        fixture.server.fault("/storage", fault)
        with pytest.raises(RegistryError) as caught:
            await anext(fixture.client().tagged(fixture.repository, "v1"))
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        assert fixture.server.asked[-1].path == signed


@pytest.mark.parametrize("host", ["r.test:99999", "xn--.test", "r.test:0"])
async def test_what_looks_like_a_host_and_is_none(fixture: RegistryFixture, host: str) -> None:
    client, repository = fixture.client(plain=(host,)), Repository(host, NAME)
    for ask in (
        client.manifest(repository, NOTHING),
        client.blob(repository, NOTHING, 1),
        anext(client.tagged(repository, "v1")),
        anext(client.referrers(repository, NOTHING)),
    ):
        with pytest.raises(RegistryError, match="expected a valid host") as caught:
            await ask
        assert caught.value.reason is RegistryProblem.UNREACHABLE


_PIECES = (
    b"HTTP/1.1 |HTTP/1.0 |200 OK|307 X|401 X|404 X|100 Continue|\r\n|\r\n\r\n|\n|{}|Content-Length: 2|"
    b"Content-Length: -1|Content-Length: 2, 3|Transfer-Encoding: chunked|2\r\n{}\r\n|0\r\n\r\n|"
    b'{"schemaVersion": 2, "manifests": [{}]}|'
    b"fffffffff\r\n|Location: |//|https://|http://x.test:0/|/v2/%zz|#|?|[::1]|WWW-Authenticate: |Bearer realm=|Basic|"
    b'"|\x00|\xff|Content-Encoding: gzip|Connection: close|Content-Type: |Link: </x>; rel="next"|'
    b"Docker-Content-Digest: sha256:x"
).split(b"|")


async def test_whatever_comes_over_the_wire_is_one_kind_of_error(fixture: RegistryFixture) -> None:
    seeded = random.Random(20_261_121)
    raw = b""

    async def anything(request: web.BaseRequest) -> web.StreamResponse | None:
        return await speaks(raw)(request)

    fixture.server.fault("", anything)
    client = fixture.client(timeout_s=1.0)
    reasons: Counter[str] = Counter()
    for _ in range(250):
        start = seeded.choice([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 307 X\r\nLocation: ", b"HTTP/1.1 401 X\r\n"])
        raw = start + b"".join(seeded.choices(_PIECES, k=seeded.randrange(12)))
        for ask in (
            client.blob(fixture.repository, NOTHING, 99),
            anext(client.referrers(fixture.repository, NOTHING), None),
        ):
            try:
                await ask
            except RegistryError as error:
                reasons[error.reason] += 1
    assert len(reasons) >= 5, reasons


async def test_a_registry_that_is_not_listed_is_not_asked_without_tls(
    fixture: RegistryFixture, other: RegistryServer
) -> None:
    digest = other.put_manifest(NAME, b"{}")
    with pytest.raises(RegistryError) as caught:
        await fixture.client().manifest(Repository(other.host, NAME), digest)
    assert caught.value.reason in {RegistryProblem.UNREACHABLE, RegistryProblem.MALFORMED}
    assert other.count() == 0
    assert (await fixture.client(plain=(other.host,)).manifest(Repository(other.host, NAME), digest)).content == b"{}"


@pytest.mark.parametrize(
    ("said", "good"), [("", True), (digest_of(b"{}"), True), (NOTHING, False), ("sha256:x", False), ("sha512:x", True)]
)
async def test_a_tags_bytes_are_those_that_the_registry_says(fixture: RegistryFixture, said: str, good: bool) -> None:
    fixture.server.fault("/manifests/v1", answers(b"{}", Docker_Content_Digest=said))
    found = fixture.client().tagged(fixture.repository, "v1")
    if good:
        assert [manifest.digest async for manifest in found] == [digest_of(b"{}")]
        return
    with pytest.raises(RegistryError) as caught:
        await anext(found)
    assert caught.value.reason is RegistryProblem.DIGEST_MISMATCH
