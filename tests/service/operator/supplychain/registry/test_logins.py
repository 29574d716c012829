"""Logins to registries: the headers that each host gets, requests for tokens, and redirects."""

from __future__ import annotations

import asyncio

import pytest

from support.supplychain.registry import Fault, RegistryServer
from support.supplychain.registry_faults import answers, hangs, leads_to, status
from support.supplychain.registry_fixture import (
    LOGIN,
    NAME,
    NOTHING,
    SECRET,
    RegistryFixture,
)
from titan_operator.supplychain.registry import RegistryError, RegistryProblem, Repository
from titan_operator.supplychain.registry.credential_files import Login


async def test_a_redirect_is_followed_and_nobodys_login_goes_with_it(
    fixture: RegistryFixture, other: RegistryServer
) -> None:
    digest = fixture.server.put_blob(NAME, b"x")
    other.put_blob(NAME, b"x")
    fixture.server.login = f"ana:{SECRET}"
    client = fixture.client(plain=(other.host,), logins=lambda _host: LOGIN)
    assert await client.blob(fixture.repository, digest, 9) == b"x"
    fixture.server.fault("/blobs/", leads_to(f"{other.url}/v2/{NAME}/blobs/{digest}?X-Signature=hunter"))
    assert await client.blob(fixture.repository, digest, 9) == b"x"
    assert fixture.server.asked[-1].authorization.startswith("Basic ")
    assert [asked.authorization for asked in other.asked] == [""]
    assert other.asked[0].path.endswith("?X-Signature=hunter")


async def test_a_redirect_within_a_host_keeps_the_login(fixture: RegistryFixture) -> None:
    digest = fixture.server.put_blob("elsewhere", b"x")
    fixture.server.login = f"ana:{SECRET}"
    fixture.server.fault(f"/{NAME}/blobs/", leads_to(f"/v2/elsewhere/blobs/{digest}"))
    client = fixture.client(logins=lambda _host: LOGIN)
    # Without a login yet: the place that it leads to wants one, and is this host.
    assert await client.blob(fixture.repository, digest, 9) == b"x"


async def test_a_way_back_to_the_host_does_not_carry_the_login(fixture: RegistryFixture, other: RegistryServer) -> None:
    digest = fixture.server.put_blob(NAME, b"x")
    fixture.server.login = f"ana:{SECRET}"
    client = fixture.client(plain=(other.host,), logins=lambda _host: LOGIN)
    assert await client.blob(fixture.repository, digest, 9) == b"x"
    fixture.server.fault(f"/{NAME}/blobs/", leads_to(f"{other.url}/back"))
    other.fault("/back", leads_to(f"{fixture.server.url}/v2/secret/blobs/{digest}"))
    with pytest.raises(RegistryError):
        await client.blob(fixture.repository, digest, 9)
    assert all(asked.authorization == "" for asked in fixture.server.asked if "secret" in asked.path)


async def test_where_it_is_led_to_does_not_say_where_logins_go(fixture: RegistryFixture, other: RegistryServer) -> None:
    digest = fixture.server.put_blob(NAME, b"x")
    fixture.server.fault("/blobs/", leads_to(f"{other.url}/v2/{NAME}/blobs/{digest}"))
    other.login, other.tokens = f"ana:{SECRET}", True
    client = fixture.client(plain=(other.host,), logins=lambda _host: LOGIN)
    with pytest.raises(
        RegistryError, match=f"without a login after a redirect, found status 401 at {other.host}"
    ) as caught:
        await client.blob(fixture.repository, digest, 9)
    assert caught.value.reason is RegistryProblem.UNAUTHORIZED
    assert other.count("/token") == 0
    assert [asked.authorization for asked in other.asked] == [""]


@pytest.mark.parametrize("tokens", [False, True])
async def test_a_login_is_asked_for_once_and_kept(fixture: RegistryFixture, tokens: bool) -> None:
    fixture.server.login, fixture.server.tokens = f"ana:{SECRET}", tokens
    digest, blob = fixture.server.put_manifest(NAME, b"{}"), fixture.server.put_blob(NAME, b"x")
    asked: list[str] = []

    def login(host: str) -> Login | None:
        asked.append(host)
        return LOGIN

    client = fixture.client(logins=login)
    for _ in range(3):
        await client.manifest(fixture.repository, digest)
        await client.blob(fixture.repository, blob, 9)
    assert set(asked) == {fixture.server.host}
    assert sum(1 for request in fixture.server.asked if request.authorization == "") == 1
    assert fixture.server.count("/token") == (1 if tokens else 0)
    if tokens:
        assert "scope=repository:team/titan:pull" in fixture.server.asked[1].path.replace("%3A", ":").replace(
            "%2F", "/"
        )
        assert f"service={fixture.server.host}" in fixture.server.asked[1].path.replace("%3A", ":")


async def test_a_token_is_given_without_a_login_too(fixture: RegistryFixture) -> None:
    fixture.server.tokens = True
    digest = fixture.server.put_manifest(NAME, b"{}")
    assert (await fixture.client().manifest(fixture.repository, digest)).content == b"{}"
    assert [asked.authorization for asked in fixture.server.asked][:2] == ["", ""]


async def test_many_at_once_ask_for_one_token(fixture: RegistryFixture) -> None:
    fixture.server.tokens = True
    digest = fixture.server.put_manifest(NAME, b"{}")
    client = fixture.client()
    await asyncio.gather(*(client.manifest(fixture.repository, digest) for _ in range(20)))
    assert fixture.server.count("/token") == 1


async def test_a_token_is_for_one_repository(fixture: RegistryFixture) -> None:
    fixture.server.tokens = True
    client = fixture.client()
    for name in ("a", "b"):
        digest = fixture.server.put_manifest(name, b"{}")
        await client.manifest(Repository(fixture.server.host, name), digest)
    assert fixture.server.count("/token") == 2
    assert sorted(map(sorted, fixture.server.given.values())) == [["a:pull"], ["b:pull"]]


async def test_a_token_that_ended_or_was_taken_back_is_replaced(fixture: RegistryFixture) -> None:
    fixture.server.tokens, fixture.server.token_life_s = True, 1
    digest = fixture.server.put_manifest(NAME, b"{}")
    client = fixture.client()
    await client.manifest(fixture.repository, digest)
    await asyncio.sleep(0.85)  # the end of its life is what this is about
    await client.manifest(fixture.repository, digest)
    assert (fixture.server.count("/token"), fixture.server.count("/manifests/")) == (2, 4)
    fixture.server.token_life_s = 300
    fixture.server.given.clear()
    await client.manifest(fixture.repository, digest)
    assert fixture.server.count("/token") == 3


async def test_another_login_counts_at_once(fixture: RegistryFixture) -> None:
    fixture.server.login = "ana:old"
    digest = fixture.server.put_manifest(NAME, b"{}")
    logins = {fixture.server.host: Login("ana", "old")}
    client = fixture.client(logins=logins.get)
    await client.manifest(fixture.repository, digest)
    fixture.server.login = "ana:new"
    with pytest.raises(RegistryError) as caught:
        await client.manifest(fixture.repository, digest)
    assert caught.value.reason is RegistryProblem.UNAUTHORIZED
    logins[fixture.server.host] = Login("ana", "new")
    assert (await client.manifest(fixture.repository, digest)).content == b"{}"


@pytest.mark.parametrize("tokens", [False, True])
async def test_a_login_that_was_replaced_is_used_no_longer(fixture: RegistryFixture, tokens: bool) -> None:
    fixture.server.login, fixture.server.tokens = f"ana:{SECRET}", tokens
    digest = fixture.server.put_manifest(NAME, b"{}")
    logins = {fixture.server.host: LOGIN}
    client = fixture.client(logins=logins.get)
    await client.manifest(fixture.repository, digest)
    before = fixture.server.asked[-1].authorization
    del logins[fixture.server.host]
    fixture.server.asked.clear()
    with pytest.raises(RegistryError) as caught:
        await client.manifest(fixture.repository, digest)
    assert caught.value.reason is RegistryProblem.UNAUTHORIZED
    assert before not in {asked.authorization for asked in fixture.server.asked}


@pytest.mark.parametrize(
    ("description", "fault", "reason", "says"),
    [
        ("another password", None, RegistryProblem.UNAUTHORIZED, "status 401 for the login of this host"),
        ("no JSON", answers(b"<html>"), RegistryProblem.MALFORMED, "no JSON object"),
        ("no token", answers(b"{}"), RegistryProblem.MALFORMED, "no token"),
        ("a token that breaks a header", answers(b'{"token": "a\\r\\nX: y"}'), RegistryProblem.MALFORMED, "no token"),
        ("a very long token", answers(b'{"token": "' + b"a" * 70_000 + b'"}'), RegistryProblem.TOO_LARGE, "65536"),
        ("led on", leads_to("https://x.test/token"), RegistryProblem.REDIRECT_REFUSED, "at most 0 redirects"),
        ("an error", status(500), RegistryProblem.SERVER_ERROR, "status 500 again"),
        ("not found", status(404), RegistryProblem.UNEXPECTED_STATUS, "status 404"),
        ("silence", hangs(), RegistryProblem.TIMED_OUT, "expected an answer in 0.5 s"),
        ("a token that opens nothing", answers(b'{"token": "x"}'), RegistryProblem.UNAUTHORIZED, "to be let in"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_a_realm_does_wrong(
    fixture: RegistryFixture, description: str, fault: Fault | None, reason: RegistryProblem, says: str
) -> None:
    fixture.server.login, fixture.server.tokens = "ana:other" if fault is None else f"ana:{SECRET}", True
    digest = fixture.server.put_manifest(NAME, b"{}")
    if fault is not None:
        fixture.server.fault("^/token", fault)
    slow = reason is RegistryProblem.TIMED_OUT
    client = fixture.client(logins=lambda _host: LOGIN, timeout_s=0.5 if slow else 10)
    with pytest.raises(RegistryError) as caught:
        await client.manifest(fixture.repository, digest)
    assert (caught.value.reason, says in str(caught.value)) == (reason, True), (description, str(caught.value))
    assert SECRET not in str(caught.value)
    assert "YW5h" not in str(caught.value)  # base64 of it


@pytest.mark.parametrize(
    ("realm", "reason"),
    [
        ("http://realm.test/token", RegistryProblem.PLAIN_HTTP_REFUSED),
        ("file:///etc/passwd", RegistryProblem.MALFORMED),
        ("https://ana:b@realm.test/token", RegistryProblem.REDIRECT_REFUSED),
        ("/token", RegistryProblem.MALFORMED),
        ("https://[x", RegistryProblem.MALFORMED),
        ("https://xn--.test/", RegistryProblem.MALFORMED),
        ("https://x.test:99999/", RegistryProblem.MALFORMED),
    ],
)
async def test_a_login_goes_to_no_realm_without_tls(
    fixture: RegistryFixture, realm: str, reason: RegistryProblem
) -> None:
    fixture.server.login, fixture.server.tokens, fixture.server.realm = f"ana:{SECRET}", True, realm
    with pytest.raises(RegistryError) as caught:
        await fixture.client(logins=lambda _host: LOGIN).manifest(fixture.repository, NOTHING)
    assert caught.value.reason is reason


async def test_a_realm_at_another_host_gets_the_login_and_never_sees_the_token(
    fixture: RegistryFixture, other: RegistryServer
) -> None:
    fixture.server.login, fixture.server.tokens, fixture.server.realm = f"ana:{SECRET}", True, f"{other.url}/token"
    other.login, fixture.server.given = fixture.server.login, other.given
    digest = fixture.server.put_manifest(NAME, b"{}")
    logins = {fixture.server.host: LOGIN}
    client = fixture.client(plain=(other.host,), logins=logins.get)
    assert (await client.manifest(fixture.repository, digest)).content == b"{}"
    assert [asked.authorization.partition(" ")[0] for asked in other.asked] == ["Basic"]
    assert [asked.authorization.partition(" ")[0] for asked in fixture.server.asked] == ["", "Bearer"]
