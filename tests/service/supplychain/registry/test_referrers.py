"""What refers to an image: from the API, from the fallback tag, from mirrors, and never without an end."""

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
    Scene,
    digests,
    referrers,
    until_failure,
)
from titan_operator.supplychain.registry import RegistryError, RegistryProblem
from titan_operator.supplychain.registry.client import MOST_REFERRERS


@pytest.mark.parametrize("api", [True, False])
async def test_referrers_come_from_the_api_and_from_the_fallback_tag(scene: Scene, api: bool) -> None:
    scene.server.referrers_api = api
    image = scene.server.put_image(NAME, "a")
    assert await digests(scene.client(), scene.repository, image) == []
    first = scene.server.put_referrer(NAME, image, b"1", BUNDLE)
    second = scene.server.put_referrer(NAME, image, b"2", "application/other")
    scene.server.put_fallback(NAME, image, [second])
    found = await referrers(scene.client(), scene.repository, image)
    assert [descriptor.digest for descriptor in found] == ([first, second] if api else [second])
    assert {descriptor.artifact_type for descriptor in found} == (
        {BUNDLE, "application/other"} if api else {"application/other"}
    )
    assert scene.server.count("artifactType") == 0


async def test_a_signature_at_the_fallback_tag_is_found_where_the_api_lists_others(scene: Scene) -> None:
    image = scene.server.put_image(NAME, "a")
    forged = scene.server.put_referrer(NAME, image, b"1", BUNDLE)
    # Pushed before the registry had an API: a manifest without a subject, listed by the tag only.
    good = scene.server.put_image(NAME, "signature")
    scene.server.put_fallback(NAME, image, [good])
    assert await digests(scene.client(), scene.repository, image) == [forged, good]


async def test_who_has_found_it_asks_no_further(scene: Scene) -> None:
    scene.server.page = 2
    image = scene.server.put_image(NAME, "a")
    for number in range(10):
        scene.server.put_referrer(NAME, image, b"%d" % number, BUNDLE)
    found = scene.client().referrers(scene.repository, image)
    await anext(found)
    await found.aclose()
    assert scene.server.count() == 1


@pytest.mark.parametrize("code", [400, 404, 405, 406])
async def test_every_way_of_having_no_api_leads_to_the_tag(scene: Scene, code: int) -> None:
    image = scene.server.put_image(NAME, "a")
    good = scene.server.put_referrer(NAME, image, b"1", BUNDLE)
    scene.server.put_fallback(NAME, image, [good])
    scene.server.fault("/referrers/", status(code))
    assert await digests(scene.client(), scene.repository, image) == [good]


async def test_pages_are_followed_to_the_end(scene: Scene) -> None:
    scene.server.page = 7
    image = scene.server.put_image(NAME, "a")
    put = [scene.server.put_referrer(NAME, image, b"%d" % number, BUNDLE) for number in range(20)]
    assert await digests(scene.client(), scene.repository, image) == put
    assert scene.server.count("/referrers/") == 3


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
    scene: Scene, description: str, fault: Fault, reason: RegistryProblem
) -> None:
    scene.server.fault("/manifests/sha256-" if "tag" in description else "/referrers/", fault)
    with pytest.raises(RegistryError) as caught:
        await digests(scene.client(), scene.repository, NOTHING)
    assert caught.value.reason is reason, (description, str(caught.value))


@pytest.mark.parametrize(("page_bytes", "pages"), [(100, 50), (4 * 2**20, 4)])
async def test_links_that_never_end_do(scene: Scene, page_bytes: int, pages: int) -> None:
    number = 0
    body = b'{"schemaVersion": 2, "manifests": []}'.ljust(page_bytes)

    async def page(_request: web.BaseRequest) -> web.Response:
        nonlocal number
        number += 1
        return web.Response(body=body, headers={"Link": f'</v2/{NAME}/referrers/x?n={number}>; rel="next"'})

    scene.server.fault("/referrers/", page)
    with pytest.raises(RegistryError, match="at most 50 pages of 16777216 bytes together") as caught:
        await digests(scene.client(), scene.repository, NOTHING)
    assert caught.value.reason is RegistryProblem.TOO_MANY_REFERRERS
    assert number == pages


@pytest.mark.parametrize("count", [MOST_REFERRERS, MOST_REFERRERS + 1])
async def test_no_more_than_2000_are_looked_at(scene: Scene, count: int) -> None:
    entries = [{"digest": digest_of(b"%d" % number)} for number in range(count)]
    content = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    scene.server.fault("/referrers/", answers(content, INDEX_TYPE))
    found, reason = await until_failure(scene.client().referrers(scene.repository, NOTHING))
    assert len(found) == MOST_REFERRERS
    assert reason is (None if count == MOST_REFERRERS else RegistryProblem.TOO_MANY_REFERRERS)


# Mirrors


async def test_mirrors_are_asked_in_order_and_then_the_registry(scene: Scene, other: RegistryServer) -> None:
    digest = scene.server.put_blob(NAME, b"x")
    async with RegistryServer().serving() as second:
        plain = (other.host, second.host)
        client = scene.client(plain=plain, mirrors={scene.server.host: plain})
        assert await client.blob(scene.repository, digest, 9) == b"x"
        assert [server.count() for server in (other, second, scene.server)] == [1, 1, 1]
        second.put_blob(NAME, b"x")
        assert await client.blob(scene.repository, digest, 9) == b"x"
        assert [server.count() for server in (other, second, scene.server)] == [2, 2, 1]


async def test_a_mirror_that_lies_or_is_dead_harms_nobody(scene: Scene, other: RegistryServer) -> None:
    digest = scene.server.put_blob(NAME, b"x")
    async with RegistryServer().serving() as gone:
        dead = gone.host
    other.fault("/blobs/", answers(b"other bytes"))
    plain = (dead, other.host)
    client = scene.client(plain=plain, mirrors={scene.server.host: plain})
    assert await client.blob(scene.repository, digest, 9) == b"x"
    scene.server.fault("/blobs/", status(404))
    with pytest.raises(RegistryError) as caught:
        await client.blob(scene.repository, digest, 9)
    assert caught.value.reason is RegistryProblem.NOT_FOUND
    said = [part.partition(": ")[0] for part in str(caught.value).split("; ")]
    assert said == [scene.server.host, other.host, dead]


async def test_a_mirror_gets_its_own_login_only(scene: Scene, other: RegistryServer) -> None:
    other.login = scene.server.login = f"ana:{SECRET}"
    digest = scene.server.put_blob(NAME, b"x")
    other.put_blob(NAME, b"x")
    logins = {scene.server.host: LOGIN}
    client = scene.client(plain=(other.host,), mirrors={scene.server.host: (other.host,)}, logins=logins.get)
    assert await client.blob(scene.repository, digest, 9) == b"x"
    assert [asked.authorization for asked in other.asked] == [""]


async def test_what_a_mirror_does_not_list_yet_is_found_at_the_registry(scene: Scene, other: RegistryServer) -> None:
    image = scene.server.put_image(NAME, "a")
    other.put_image(NAME, "a")
    old = other.put_referrer(NAME, image, b"old", BUNDLE)
    assert scene.server.put_referrer(NAME, image, b"old", BUNDLE) == old
    new = scene.server.put_referrer(NAME, image, b"new", BUNDLE)
    scene.server.put_manifest(NAME, b"{}", "v1")
    other.put_manifest(NAME, b"[]", "v1")
    client = scene.client(plain=(other.host,), mirrors={scene.server.host: (other.host,)})
    assert await digests(client, scene.repository, image) == [old, new]
    found = [manifest.content async for manifest in client.tagged(scene.repository, "v1")]
    assert found == [b"[]", b"{}"]


async def test_what_a_mirror_lists_is_not_all_while_the_registry_is_away(scene: Scene, other: RegistryServer) -> None:
    image = other.put_image(NAME, "a")
    old = other.put_referrer(NAME, image, b"old", BUNDLE)
    scene.server.fault("", status(500))
    client = scene.client(plain=(other.host,), mirrors={scene.server.host: (other.host,)})
    assert await until_failure(client.referrers(scene.repository, image)) == ([old], RegistryProblem.SERVER_ERROR)


async def test_a_mirror_that_hangs_leaves_the_registry_its_time(scene: Scene, other: RegistryServer) -> None:
    image = scene.server.put_image(NAME, "a")
    good = scene.server.put_referrer(NAME, image, b"1", BUNDLE)
    other.fault("", hangs())
    client = scene.client(plain=(other.host,), mirrors={scene.server.host: (other.host,)}, timeout_s=0.3)
    assert await digests(client, scene.repository, image) == [good]
    assert (await client.manifest(scene.repository, image)).digest == image


async def test_a_tag_that_all_have_is_given_once_and_a_dead_mirror_is_no_failure(
    scene: Scene, other: RegistryServer
) -> None:
    for server in (scene.server, other):
        server.put_manifest(NAME, b"{}", "v1")
    client = scene.client(plain=(other.host,), mirrors={scene.server.host: (other.host,)})
    assert [manifest.content async for manifest in client.tagged(scene.repository, "v1")] == [b"{}"]
    other.fault("", status(500))
    assert [manifest.content async for manifest in client.tagged(scene.repository, "v1")] == [b"{}"]
    scene.server.fault("", status(500))
    with pytest.raises(RegistryError) as caught:
        await anext(client.tagged(scene.repository, "v1"))
    assert caught.value.reason is RegistryProblem.SERVER_ERROR
