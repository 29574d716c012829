"""Referrers of an image: from the API, from the fallback tag, from mirrors, and always bounded."""

from __future__ import annotations

import json

import pytest
from aiohttp import web

from support.supplychain.registry import INDEX_TYPE, Fault, RegistryServer, digest_of
from support.supplychain.registry_faults import answers, hangs, status
from support.supplychain.registry_fixture import (
    BUNDLE,
    LOGIN,
    NAME,
    NOTHING,
    SECRET,
    RegistryFixture,
    digests,
    referrers,
    until_failure,
)
from titan_operator.supplychain.registry import RegistryError, RegistryProblem
from titan_operator.supplychain.registry.client import MOST_REFERRERS


@pytest.mark.parametrize("api", [True, False])
async def test_referrers_come_from_the_api_and_from_the_fallback_tag(fixture: RegistryFixture, api: bool) -> None:
    fixture.server.referrers_api = api
    image = fixture.server.put_image(NAME, "a")
    assert await digests(fixture.client(), fixture.repository, image) == []
    first = fixture.server.put_referrer(NAME, image, b"1", BUNDLE)
    second = fixture.server.put_referrer(NAME, image, b"2", "application/other")
    fixture.server.put_fallback(NAME, image, [second])
    found = await referrers(fixture.client(), fixture.repository, image)
    assert [descriptor.digest for descriptor in found] == ([first, second] if api else [second])
    assert {descriptor.artifact_type for descriptor in found} == (
        {BUNDLE, "application/other"} if api else {"application/other"}
    )
    assert fixture.server.count("artifactType") == 0


async def test_a_signature_at_the_fallback_tag_is_found_where_the_api_lists_others(fixture: RegistryFixture) -> None:
    image = fixture.server.put_image(NAME, "a")
    forged = fixture.server.put_referrer(NAME, image, b"1", BUNDLE)
    # Pushed before the registry had an API: a manifest without a subject, listed by the tag only.
    good = fixture.server.put_image(NAME, "signature")
    fixture.server.put_fallback(NAME, image, [good])
    assert await digests(fixture.client(), fixture.repository, image) == [forged, good]


async def test_who_has_found_it_asks_no_further(fixture: RegistryFixture) -> None:
    fixture.server.page = 2
    image = fixture.server.put_image(NAME, "a")
    for number in range(10):
        fixture.server.put_referrer(NAME, image, b"%d" % number, BUNDLE)
    found = fixture.client().referrers(fixture.repository, image)
    await anext(found)
    await found.aclose()
    assert fixture.server.count() == 1


@pytest.mark.parametrize("code", [400, 404, 405, 406])
async def test_every_way_of_having_no_api_leads_to_the_tag(fixture: RegistryFixture, code: int) -> None:
    image = fixture.server.put_image(NAME, "a")
    good = fixture.server.put_referrer(NAME, image, b"1", BUNDLE)
    fixture.server.put_fallback(NAME, image, [good])
    fixture.server.fault("/referrers/", status(code))
    assert await digests(fixture.client(), fixture.repository, image) == [good]


async def test_pages_are_followed_to_the_end(fixture: RegistryFixture) -> None:
    fixture.server.page = 7
    image = fixture.server.put_image(NAME, "a")
    put = [fixture.server.put_referrer(NAME, image, b"%d" % number, BUNDLE) for number in range(20)]
    assert await digests(fixture.client(), fixture.repository, image) == put
    assert fixture.server.count("/referrers/") == 3


@pytest.mark.parametrize(
    ("description", "fault", "reason"),
    [
        ("no JSON", answers(b"<html>", "text/html"), RegistryProblem.MALFORMED),
        ("no index", answers(b'{"schemaVersion": 2, "layers": []}'), RegistryProblem.MALFORMED),
        ("deep", answers(b"[" * 100_000), RegistryProblem.MALFORMED),
        ("too large", answers(b" " * (2**22 + 1)), RegistryProblem.TOO_LARGE),
        ("a bad link", answers(b'{"schemaVersion": 2, "manifests": []}', Link="next"), RegistryProblem.MALFORMED),
        (
            "a link elsewhere",
            answers(b'{"schemaVersion": 2, "manifests": []}', Link='<https://x.test/>; rel="next"'),
            RegistryProblem.REDIRECT_REFUSED,
        ),
        (
            "a link to itself",
            answers(b'{"schemaVersion": 2, "manifests": []}', Link='<?>; rel="next"'),
            RegistryProblem.REDIRECT_REFUSED,
        ),
        (
            "a second page that is not there",
            answers(b'{"schemaVersion": 2, "manifests": []}', Link='</v2/x>; rel="next"'),
            RegistryProblem.NOT_FOUND,
        ),
        ("an error", status(500), RegistryProblem.SERVER_ERROR),
        ("forbidden", status(403), RegistryProblem.UNAUTHORIZED),
        ("an error of the tag", status(500), RegistryProblem.SERVER_ERROR),
        ("forbidden tag", status(403), RegistryProblem.UNAUTHORIZED),
        ("a tag of something else", answers(b'{"schemaVersion": 2, "layers": []}'), RegistryProblem.MALFORMED),
        ("a tag too large", answers(b" " * (2**22 + 1)), RegistryProblem.TOO_LARGE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_listing_that_cannot_be_read_is_no_empty_listing(
    fixture: RegistryFixture, description: str, fault: Fault, reason: RegistryProblem
) -> None:
    fixture.server.fault("/manifests/sha256-" if "tag" in description else "/referrers/", fault)
    with pytest.raises(RegistryError) as caught:
        await digests(fixture.client(), fixture.repository, NOTHING)
    assert caught.value.reason is reason, (description, str(caught.value))


@pytest.mark.parametrize(("page_bytes", "pages"), [(100, 50), (4 * 2**20, 4)])
async def test_links_that_never_end_do(fixture: RegistryFixture, page_bytes: int, pages: int) -> None:
    number = 0
    body = b'{"schemaVersion": 2, "manifests": []}'.ljust(page_bytes)

    async def page(_request: web.BaseRequest) -> web.Response:
        nonlocal number
        number += 1
        return web.Response(body=body, headers={"Link": f'</v2/{NAME}/referrers/x?n={number}>; rel="next"'})

    fixture.server.fault("/referrers/", page)
    with pytest.raises(RegistryError, match="at most 50 pages of 16777216 bytes together") as caught:
        await digests(fixture.client(), fixture.repository, NOTHING)
    assert caught.value.reason is RegistryProblem.TOO_MANY_REFERRERS
    assert number == pages


@pytest.mark.parametrize("count", [MOST_REFERRERS, MOST_REFERRERS + 1])
async def test_no_more_than_2000_are_looked_at(fixture: RegistryFixture, count: int) -> None:
    entries = [{"digest": digest_of(b"%d" % number)} for number in range(count)]
    content = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    fixture.server.fault("/referrers/", answers(content, INDEX_TYPE))
    found, reason = await until_failure(fixture.client().referrers(fixture.repository, NOTHING))
    assert len(found) == MOST_REFERRERS
    assert reason is (None if count == MOST_REFERRERS else RegistryProblem.TOO_MANY_REFERRERS)


# Mirrors


async def test_mirrors_are_asked_in_order_and_then_the_registry(
    fixture: RegistryFixture, other: RegistryServer
) -> None:
    digest = fixture.server.put_blob(NAME, b"x")
    async with RegistryServer().serving() as second:
        plain = (other.host, second.host)
        client = fixture.client(plain=plain, mirrors={fixture.server.host: plain})
        assert await client.blob(fixture.repository, digest, 9) == b"x"
        assert [server.count() for server in (other, second, fixture.server)] == [1, 1, 1]
        second.put_blob(NAME, b"x")
        assert await client.blob(fixture.repository, digest, 9) == b"x"
        assert [server.count() for server in (other, second, fixture.server)] == [2, 2, 1]


async def test_a_mirror_that_lies_or_is_dead_harms_nobody(fixture: RegistryFixture, other: RegistryServer) -> None:
    digest = fixture.server.put_blob(NAME, b"x")
    async with RegistryServer().serving() as gone:
        dead = gone.host
    other.fault("/blobs/", answers(b"other bytes"))
    plain = (dead, other.host)
    client = fixture.client(plain=plain, mirrors={fixture.server.host: plain})
    assert await client.blob(fixture.repository, digest, 9) == b"x"
    fixture.server.fault("/blobs/", status(404))
    with pytest.raises(RegistryError) as caught:
        await client.blob(fixture.repository, digest, 9)
    assert caught.value.reason is RegistryProblem.NOT_FOUND
    said = [part.partition(": ")[0] for part in str(caught.value).split("; ")]
    assert said == [fixture.server.host, other.host, dead]


async def test_a_mirror_gets_its_own_login_only(fixture: RegistryFixture, other: RegistryServer) -> None:
    other.login = fixture.server.login = f"ana:{SECRET}"
    digest = fixture.server.put_blob(NAME, b"x")
    other.put_blob(NAME, b"x")
    logins = {fixture.server.host: LOGIN}
    client = fixture.client(plain=(other.host,), mirrors={fixture.server.host: (other.host,)}, logins=logins.get)
    assert await client.blob(fixture.repository, digest, 9) == b"x"
    assert [asked.authorization for asked in other.asked] == [""]


async def test_what_a_mirror_does_not_list_yet_is_found_at_the_registry(
    fixture: RegistryFixture, other: RegistryServer
) -> None:
    image = fixture.server.put_image(NAME, "a")
    other.put_image(NAME, "a")
    old = other.put_referrer(NAME, image, b"old", BUNDLE)
    assert fixture.server.put_referrer(NAME, image, b"old", BUNDLE) == old
    new = fixture.server.put_referrer(NAME, image, b"new", BUNDLE)
    fixture.server.put_manifest(NAME, b"{}", "v1")
    other.put_manifest(NAME, b"[]", "v1")
    client = fixture.client(plain=(other.host,), mirrors={fixture.server.host: (other.host,)})
    assert await digests(client, fixture.repository, image) == [old, new]
    found = [manifest.content async for manifest in client.tagged(fixture.repository, "v1")]
    assert found == [b"[]", b"{}"]


async def test_what_a_mirror_lists_is_not_all_while_the_registry_is_away(
    fixture: RegistryFixture, other: RegistryServer
) -> None:
    image = other.put_image(NAME, "a")
    old = other.put_referrer(NAME, image, b"old", BUNDLE)
    fixture.server.fault("", status(500))
    client = fixture.client(plain=(other.host,), mirrors={fixture.server.host: (other.host,)})
    assert await until_failure(client.referrers(fixture.repository, image)) == ([old], RegistryProblem.SERVER_ERROR)


async def test_a_mirror_that_hangs_leaves_the_registry_its_time(
    fixture: RegistryFixture, other: RegistryServer
) -> None:
    image = fixture.server.put_image(NAME, "a")
    good = fixture.server.put_referrer(NAME, image, b"1", BUNDLE)
    other.fault("", hangs())
    client = fixture.client(plain=(other.host,), mirrors={fixture.server.host: (other.host,)}, timeout_s=0.3)
    assert await digests(client, fixture.repository, image) == [good]
    assert (await client.manifest(fixture.repository, image)).digest == image


async def test_a_tag_that_all_have_is_given_once_and_a_dead_mirror_is_no_failure(
    fixture: RegistryFixture, other: RegistryServer
) -> None:
    for server in (fixture.server, other):
        server.put_manifest(NAME, b"{}", "v1")
    client = fixture.client(plain=(other.host,), mirrors={fixture.server.host: (other.host,)})
    assert [manifest.content async for manifest in client.tagged(fixture.repository, "v1")] == [b"{}"]
    other.fault("", status(500))
    assert [manifest.content async for manifest in client.tagged(fixture.repository, "v1")] == [b"{}"]
    fixture.server.fault("", status(500))
    with pytest.raises(RegistryError) as caught:
        await anext(client.tagged(fixture.repository, "v1"))
    assert caught.value.reason is RegistryProblem.SERVER_ERROR
