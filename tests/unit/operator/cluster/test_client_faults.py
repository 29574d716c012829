"""The client on bad, late or missing answers, which the real server does not give on request."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from titan_operator.cluster.client import Cluster
from titan_operator.cluster.credentials import Connection
from titan_operator.cluster.errors import ApiError, Unreachable
from titan_operator.cluster.resource_kinds import CONFIG_MAP

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_MANIFEST = {"metadata": {"name": "a", "namespace": "n"}, "data": {"x": "1"}}


class Scripted:
    """Answers requests in turn with what the test has put in line, and the last of them for ever."""

    def __init__(self) -> None:
        self.line: list[Answer] = []
        self.asked: list[tuple[str, str]] = []
        self.tokens: list[str] = []
        self.server = ""

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append((request.method, request.path_qs))
        self.tokens.append(request.headers.get("Authorization", ""))
        answer = self.line.pop(0) if len(self.line) > 1 else self.line[0]
        return await answer(request)


@pytest.fixture
async def api() -> AsyncIterator[Scripted]:
    scripted = Scripted()
    runner = web.ServerRunner(web.Server(scripted.serve, handler_cancellation=True))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    scripted.server = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield scripted
    await runner.cleanup()


class Waits:
    """Takes the waits between attempts down instead of waiting."""

    def __init__(self) -> None:
        self.asked_s: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked_s.append(seconds)


def cluster_of(server: str, waits: Waits, seen: list[tuple[str, str, int]] | None = None, **more: Any) -> Cluster:
    def observe(verb: str, kind: str, code: int, _seconds: float) -> None:
        if seen is not None:
            seen.append((verb, kind, code))

    connection = Connection(server=server, source="test", **more)
    return Cluster(connection, observe=observe, timeout_s=0.3, sleep=waits)


def says(code: int, body: object, headers: dict[str, str] | None = None) -> Answer:
    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(status=code, body=content, headers=headers)

    return answer


def status(code: int, reason: str, **details: object) -> dict[str, object]:
    return {"kind": "Status", "code": code, "reason": reason, "message": f"no: {reason}", "details": details}


async def breaks(request: web.BaseRequest) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hangs(_request: web.BaseRequest) -> web.StreamResponse:
    return await asyncio.get_running_loop().create_future()


async def stops_half_way(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_length = 1000
    await response.prepare(request)
    await response.write(b'{"kind": "Conf')
    return await asyncio.get_running_loop().create_future()


_OBJECT = {"kind": "ConfigMap", "metadata": {"name": "a"}}
_FINE = says(200, _OBJECT)

PASSING = [
    ("429 with Retry-After waits as told", says(429, status(429, "TooManyRequests"), {"Retry-After": "2"}), 2.0, 429),
    ("429 without it waits a little", says(429, status(429, "TooManyRequests")), 0.2, 429),
    ("seconds in the Status", says(429, status(429, "TooManyRequests", retryAfterSeconds=3)), 3.0, 429),
    ("500", says(500, status(500, "InternalError")), 0.2, 500),
    ("503 in plain text, as a proxy's", says(503, b"down"), 0.2, 503),
    ("the connection breaks", breaks, 0.2, 0),
    ("no answer in time", hangs, 0.2, 0),
    ("an answer that stops half-way", stops_half_way, 0.2, 0),
]


@pytest.mark.parametrize(("description", "answer", "wait_s", "code"), PASSING, ids=[row[0] for row in PASSING])
async def test_a_read_is_asked_again(api: Scripted, description: str, answer: Answer, wait_s: float, code: int) -> None:
    api.line = [answer, _FINE]
    waits, seen = Waits(), []
    async with cluster_of(api.server, waits, seen) as cluster:
        assert await cluster.get(CONFIG_MAP, "a", "n") == _OBJECT, description
    assert waits.asked_s == [wait_s]
    assert seen == [("get", "ConfigMap", code), ("get", "ConfigMap", 200)]


@pytest.mark.parametrize(("description", "answer", "wait_s", "code"), PASSING, ids=[row[0] for row in PASSING])
async def test_a_read_is_not_asked_for_ever(
    api: Scripted, description: str, answer: Answer, wait_s: float, code: int
) -> None:
    api.line = [answer]
    waits = Waits()
    async with cluster_of(api.server, waits) as cluster:
        with pytest.raises(Unreachable if code == 0 else ApiError):
            await cluster.get(CONFIG_MAP, "a", "n")
    assert len(api.asked) == 3, description
    assert len(waits.asked_s) == 2
    assert min(waits.asked_s) >= wait_s


@pytest.mark.parametrize(("description", "answer", "wait_s", "code"), PASSING, ids=[row[0] for row in PASSING])
@pytest.mark.parametrize("verb", ["apply", "create", "replace", "patch", "delete"])
async def test_a_write_goes_out_once(
    api: Scripted, description: str, answer: Answer, wait_s: float, code: int, verb: str
) -> None:
    # The first one makes a connection that is kept: aiohttp itself would send a PUT or DELETE again on such a one.
    api.line = [_FINE, answer]
    waits, seen = Waits(), []
    versioned = {**_MANIFEST, "metadata": {**_MANIFEST["metadata"], "resourceVersion": "1"}}
    async with cluster_of(api.server, waits, seen) as cluster:
        await cluster.get(CONFIG_MAP, "a", "n")
        writes: dict[str, Callable[[], Awaitable[object]]] = {
            "apply": lambda: cluster.apply(CONFIG_MAP, _MANIFEST),
            "create": lambda: cluster.create(CONFIG_MAP, _MANIFEST),
            "replace": lambda: cluster.replace(CONFIG_MAP, versioned),
            "patch": lambda: cluster.patch_merge(CONFIG_MAP, "a", "n", {"data": {}}),
            "delete": lambda: cluster.delete(CONFIG_MAP, "a", "n"),
        }
        with pytest.raises(Unreachable if code == 0 else ApiError):
            await writes[verb]()
    assert len(api.asked) == 2, description
    assert waits.asked_s == []
    assert [entry[2] for entry in seen] == [200, code]


async def test_a_wait_that_is_too_long_is_the_callers(api: Scripted) -> None:
    api.line = [says(429, status(429, "TooManyRequests"), {"Retry-After": "60"})]
    waits = Waits()
    async with cluster_of(api.server, waits) as cluster:
        with pytest.raises(ApiError) as caught:
            await cluster.get(CONFIG_MAP, "a", "n")
    assert caught.value.retry_after_s == 60
    assert caught.value.transient
    assert waits.asked_s == []


FINAL = [
    ("forbidden", says(403, status(403, "Forbidden")), "forbidden"),
    ("bad request", says(400, status(400, "BadRequest")), "invalid"),
    ("breaks the schema", says(422, status(422, "Invalid", name="a")), "invalid"),
    (
        "breaks the schema in an apply, which is answered with 500",
        says(500, {"kind": "Status", "message": "failed to create typed patch object (n/a; v1): .dat: unknown"}),
        "invalid",
    ),
    ("a redirect is not followed", says(301, b"", {"Location": "http://127.0.0.1:1/"}), ""),
]


@pytest.mark.parametrize(("description", "answer", "property_name"), FINAL, ids=[row[0] for row in FINAL])
async def test_a_refusal_is_final(api: Scripted, description: str, answer: Answer, property_name: str) -> None:
    api.line = [answer]
    waits = Waits()
    async with cluster_of(api.server, waits) as cluster:
        with pytest.raises(ApiError) as caught:
            await cluster.get(CONFIG_MAP, "a", "n")
    assert len(api.asked) == 1, description
    names = ["forbidden", "invalid", "conflict", "not_found", "expired", "transient", "unauthorized"]
    assert [name for name in names if getattr(caught.value, name)] == ([property_name] if property_name else [])


GARBAGE = [
    ("no JSON", b"<html>captive portal</html>"),
    ("cut JSON", b'{"kind": '),
    ("no object", b"[]"),
    ("empty", b""),
]


@pytest.mark.parametrize(("description", "body"), GARBAGE, ids=[row[0] for row in GARBAGE])
async def test_garbage_is_no_answer(api: Scripted, description: str, body: bytes) -> None:
    api.line = [says(200, body)]
    async with cluster_of(api.server, Waits()) as cluster:
        with pytest.raises(Unreachable, match=r"answered 200 with no (JSON|object)"):
            await cluster.get(CONFIG_MAP, "a", "n")
    assert description


async def test_an_answer_without_end_is_cut(api: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("titan_operator.cluster.client._MAX_ANSWER_BYTES", 1000)
    api.line = [says(200, {"metadata": {"name": "a" * 2000}})]
    async with cluster_of(api.server, Waits()) as cluster:
        with pytest.raises(Unreachable, match="longer than 1000 bytes"):
            await cluster.get(CONFIG_MAP, "a", "n")


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    seen: list[tuple[str, str, int]] = []
    async with cluster_of(f"http://127.0.0.1:{port}", Waits(), seen) as cluster:
        with pytest.raises(Unreachable, match=f"127.0.0.1:{port}"):
            await cluster.create(CONFIG_MAP, _MANIFEST)
    assert seen == [("create", "ConfigMap", 0)]


def needs(token: str) -> Answer:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Authorization") == f"Bearer {token}":
            return web.json_response(_OBJECT)
        return web.json_response(status(401, "Unauthorized"), status=401)

    return answer


async def test_a_rotated_token_is_read_again(api: Scripted, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("old\n")

    async def rotates(request: web.BaseRequest) -> web.StreamResponse:
        # The kubelet replaces it while the call is under way.
        token_file.write_text("new\n")
        return await needs("new")(request)

    api.line = [rotates, needs("new")]
    async with cluster_of(api.server, Waits(), token_file=token_file) as cluster:
        # A write too: a 401 comes before anything is done.
        assert await cluster.create(CONFIG_MAP, _MANIFEST) == _OBJECT
    assert api.tokens == ["Bearer old", "Bearer new"]


async def test_a_refused_token_that_stays_is_refused_once(api: Scripted, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("old")
    api.line = [needs("new")]
    async with cluster_of(api.server, Waits(), token_file=token_file) as cluster:
        with pytest.raises(ApiError) as caught:
            await cluster.get(CONFIG_MAP, "a", "n")
    assert caught.value.unauthorized
    assert api.tokens == ["Bearer old"]
    assert "old" not in str(caught.value)


def page(names: list[str], following: str) -> Answer:
    items = [{"metadata": {"name": name}} for name in names]
    return says(200, {"items": items, "metadata": {"resourceVersion": "7", "continue": following}})


async def test_a_list_in_pages(api: Scripted) -> None:
    api.line = [page(["a", "b"], "more"), page(["c"], "")]
    async with cluster_of(api.server, Waits()) as cluster:
        found = await cluster.list(CONFIG_MAP, "n", labels="x=y")
    assert [item["metadata"]["name"] for item in found] == ["a", "b", "c"]
    assert {(item["kind"], item["apiVersion"]) for item in found} == {("ConfigMap", "v1")}
    assert found.resource_version == "7"
    path = "/api/v1/namespaces/n/configmaps?labelSelector=x%3Dy&limit=500"
    assert [url.replace("x=y", "x%3Dy") for _, url in api.asked] == [path, f"{path}&continue=more"]


async def test_pages_that_expired_are_read_in_one(api: Scripted) -> None:
    api.line = [page(["a"], "more"), says(410, status(410, "Expired")), page(["b", "c"], "")]
    async with cluster_of(api.server, Waits()) as cluster:
        found = await cluster.list(CONFIG_MAP, "n")
    # Not a, b, c: that list never was.
    assert [item["metadata"]["name"] for item in found] == ["b", "c"]
    assert api.asked[-1] == ("GET", "/api/v1/namespaces/n/configmaps")


async def test_a_list_that_expires_always_is_an_error(api: Scripted) -> None:
    api.line = [says(410, status(410, "Expired"))]
    async with cluster_of(api.server, Waits()) as cluster:
        with pytest.raises(ApiError) as caught:
            await cluster.list(CONFIG_MAP, "n")
    assert caught.value.expired
    assert len(api.asked) == 2


async def test_a_kind_that_is_not_served_is_no_absent_object(api: Scripted) -> None:
    api.line = [says(404, b"404 page not found\n")]
    async with cluster_of(api.server, Waits()) as cluster:
        with pytest.raises(ApiError) as got:
            await cluster.get(CONFIG_MAP, "a", "n")
        with pytest.raises(ApiError) as deleted:
            await cluster.delete(CONFIG_MAP, "a", "n")
    assert not got.value.served
    assert not deleted.value.not_found


async def test_the_name_of_the_policy_that_denied() -> None:
    message = "pods \"x\" is forbidden: ValidatingAdmissionPolicy 'images.titan' with binding 'b' denied request: no"
    assert ApiError(422, "Invalid", message).denied_by_policy == "images.titan"
    assert ApiError(403, "Forbidden", 'User "x" cannot create resource "pods"').denied_by_policy == ""


async def test_a_replace_without_a_version_is_refused(api: Scripted) -> None:
    api.line = [_FINE]
    async with cluster_of(api.server, Waits()) as cluster:
        with pytest.raises(ValueError, match=r"metadata\.resourceVersion: empty for ConfigMap 'a'"):
            await cluster.replace(CONFIG_MAP, _MANIFEST)
    assert api.asked == []
