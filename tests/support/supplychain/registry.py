"""An OCI registry of a test's own: pushed to by the real programs or by hand, with or without referrers API and logins.

It serves what it was given, byte for byte, and checks digests at a push only, so that a test can put anything into it.
What goes wrong on the way is in :mod:`support.supplychain.registry_faults`.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
Fault = Callable[[web.BaseRequest], Awaitable[web.StreamResponse | None]]
_PATH = re.compile(
    r"/v2/(?P<name>[a-z0-9._/-]+)/(?P<kind>manifests|blobs|referrers)/(?P<what>uploads/[0-9]+|[A-Za-z0-9._:-]+)"
)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class ReceivedRequest:
    """One request that arrived."""

    method: str
    path: str
    authorization: str


@dataclass
class _Repository:
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class RegistryServer:
    """One registry.

    Parameters
    ----------
    referrers_api
        Without it referrers are answered with 404, as by registries before OCI 1.1.
    login
        User and password; empty: nobody has to log in.
    tokens
        Whether one logs in by token instead of with every request.
    page
        Referrers on one page.
    """

    def __init__(self, *, referrers_api: bool = True, login: str = "", tokens: bool = False, page: int = 100) -> None:
        self.referrers_api = referrers_api
        self.login = login
        self.tokens = tokens
        self.page = page
        self.host = ""
        self.url = ""
        self.realm = ""
        self.token_life_s = 300
        self.asked: list[ReceivedRequest] = []
        self.faults: list[tuple[re.Pattern[str], Fault]] = []
        self.given: dict[str, set[str]] = {}
        self._repositories: dict[str, _Repository] = {}
        self._uploads: dict[str, bytearray] = {}
        self._number = itertools.count(1)

    # By hand

    def put_blob(self, name: str, content: bytes) -> str:
        digest = digest_of(content)
        self._of(name).blobs[digest] = content
        return digest

    def put_manifest(self, name: str, content: bytes, tag: str = "", media_type: str = IMAGE_TYPE) -> str:
        digest = digest_of(content)
        repository = self._of(name)
        repository.manifests[digest] = (media_type, content)
        if tag:
            repository.tags[tag] = digest
        return digest

    def put_image(self, name: str, label: str, tag: str = "") -> str:
        """A small image, another for each label."""
        config = self.put_blob(name, json.dumps({"os": "linux", "config": {"Labels": {"a": label}}}).encode())
        described = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 1}
        document = {"schemaVersion": 2, "mediaType": IMAGE_TYPE, "config": described, "layers": []}
        return self.put_manifest(name, json.dumps(document).encode(), tag)

    def put_referrer(self, name: str, subject: str, payload: bytes, artifact_type: str) -> str:
        """A manifest with one layer that says that it refers to ``subject``; listed by the API, if there is one."""
        layer, config = self.put_blob(name, payload), self.put_blob(name, b"{}")
        document = {
            "schemaVersion": 2,
            "mediaType": IMAGE_TYPE,
            "artifactType": artifact_type,
            "config": {"mediaType": EMPTY_TYPE, "digest": config, "size": 2},
            "layers": [{"mediaType": artifact_type, "digest": layer, "size": len(payload)}],
            "subject": {"mediaType": IMAGE_TYPE, "digest": subject, "size": 1},
        }
        return self.put_manifest(name, json.dumps(document).encode())

    def referring(self, name: str, subject: str) -> list[str]:
        """Digests of the manifests that say that they refer to ``subject``, as they came."""
        found = []
        for digest, (_, content) in self._of(name).manifests.items():
            try:
                if json.loads(content).get("subject", {}).get("digest") == subject:
                    found.append(digest)
            except (ValueError, AttributeError):
                continue  # not every test pushes what a registry would take
        return found

    def put_fallback(self, name: str, subject: str, digests: list[str]) -> str:
        """An index of ``digests`` at the fallback tag of ``subject``."""
        content = json.dumps(self._index([self._descriptor(name, digest) for digest in digests])).encode()
        return self.put_manifest(name, content, subject.replace(":", "-"), INDEX_TYPE)

    def fault(self, path: str, fault: Fault) -> None:
        """From now on ``fault`` answers what matches the expression ``path``; where it answers None, the registry."""
        self.faults.append((re.compile(path), fault))

    def count(self, path: str = "") -> int:
        """How many requests came for what the expression finds something in."""
        return sum(1 for asked in self.asked if re.search(path, asked.path))

    # Serving

    @asynccontextmanager
    async def serving(self, context: ssl.SSLContext | None = None) -> AsyncIterator[RegistryServer]:
        """Serve at a free port; by TLS with ``context``."""
        runner = web.ServerRunner(web.Server(self._serve, handler_cancellation=True), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        self.host = f"127.0.0.1:{runner.addresses[0][1]}"
        self.url = f"{'http' if context is None else 'https'}://{self.host}"
        self.realm = self.realm or f"{self.url}/token"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(ReceivedRequest(request.method, request.path_qs, request.headers.get("Authorization", "")))
        for pattern, fault in self.faults:
            if pattern.search(request.path_qs):
                answer = await fault(request)
                if answer is not None:
                    return answer
        if request.path == "/token":
            return self._token(request)
        found = _PATH.fullmatch(request.path) if request.path != "/v2/" else None
        if found is None and request.path != "/v2/" and not request.path.endswith("/blobs/uploads/"):
            return refusal(404, "NAME_UNKNOWN")
        name = found["name"] if found else request.path.removeprefix("/v2/").removesuffix("/blobs/uploads/")
        refused = self._closed(request, name)
        if refused is not None:
            return refused
        if found is None and request.method == "POST":
            return await self._start_upload(request, name)
        if found is None:
            return web.json_response({})
        if found["what"].startswith("uploads/"):
            return await self._upload(request, name, found["what"].removeprefix("uploads/"))
        if found["kind"] == "referrers":
            return self._referrers(request, name, found["what"])
        if found["kind"] == "blobs":
            return self._blob(name, found["what"])
        if request.method == "PUT":
            return await self._put(request, name, found["what"])
        return self._manifest(name, found["what"])

    def _of(self, name: str) -> _Repository:
        return self._repositories.setdefault(name, _Repository())

    # Logins

    def _closed(self, request: web.BaseRequest, name: str) -> web.Response | None:
        if not self.login and not self.tokens:
            return None
        kind, _, text = request.headers.get("Authorization", "").partition(" ")
        action = "pull" if request.method in {"GET", "HEAD"} else "push"
        if self.tokens:
            scopes = self.given.get(text, set()) if kind == "Bearer" else set()
            if f"{name}:{action}" in scopes or (request.path == "/v2/" and scopes):
                return None
            scope = f',scope="repository:{name}:pull,push"' if name else ""
            challenge = f'Bearer realm="{self.realm}",service="{self.host}"{scope}'
        else:
            if kind == "Basic" and base64.b64decode(text).decode() == self.login:
                return None
            challenge = 'Basic realm="here"'
        return refusal(401, "UNAUTHORIZED", {"WWW-Authenticate": challenge})

    def _token(self, request: web.BaseRequest) -> web.Response:
        kind, _, text = request.headers.get("Authorization", "").partition(" ")
        if self.login and (kind != "Basic" or base64.b64decode(text).decode() != self.login):
            return refusal(401, "UNAUTHORIZED")
        token = f"token-{next(self._number)}"
        self.given[token] = set()
        for scope in " ".join(request.query.getall("scope", [])).split():
            _, name, actions = scope.split(":")
            self.given[token] |= {f"{name}:{action}" for action in actions.split(",")}
        return web.json_response({"token": token, "expires_in": self.token_life_s})

    # Reading

    def _blob(self, name: str, digest: str) -> web.Response:
        content = self._of(name).blobs.get(digest)
        if content is None:
            return refusal(404, "BLOB_UNKNOWN")
        headers = {"Docker-Content-Digest": digest, "Content-Type": "application/octet-stream"}
        return web.Response(body=content, headers=headers)

    def _manifest(self, name: str, what: str) -> web.Response:
        repository = self._of(name)
        digest = repository.tags.get(what, what)
        if digest not in repository.manifests:
            return refusal(404, "MANIFEST_UNKNOWN")
        media_type, content = repository.manifests[digest]
        return web.Response(body=content, headers={"Docker-Content-Digest": digest, "Content-Type": media_type})

    def _referrers(self, request: web.BaseRequest, name: str, subject: str) -> web.Response:
        if not self.referrers_api:
            return refusal(404, "METHOD_UNKNOWN")
        found = [self._descriptor(name, digest) for digest in self.referring(name, subject)]
        first = int(request.query.get("from", "0"))
        headers = {}
        if first + self.page < len(found):
            headers["Link"] = f'<{request.path}?from={first + self.page}>; rel="next"'
        index = self._index(found[first : first + self.page])
        return web.Response(body=json.dumps(index).encode(), content_type=INDEX_TYPE, headers=headers)

    def _descriptor(self, name: str, digest: str) -> dict[str, object]:
        media_type, content = self._of(name).manifests[digest]
        document = json.loads(content)
        described: dict[str, object] = {"mediaType": media_type, "digest": digest, "size": len(content)}
        for field_name in ("artifactType", "annotations"):
            if document.get(field_name):
                described[field_name] = document[field_name]
        return described

    def _index(self, descriptors: list[dict[str, object]]) -> dict[str, object]:
        return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": descriptors}

    # Pushes

    async def _start_upload(self, request: web.BaseRequest, name: str) -> web.Response:
        digest = request.query.get("digest")
        if digest:
            return self._keep(name, digest, await request.content.read())
        number = str(next(self._number))
        self._uploads[number] = bytearray()
        return web.Response(status=202, headers={"Location": f"/v2/{name}/blobs/uploads/{number}", "Range": "0-0"})

    async def _upload(self, request: web.BaseRequest, name: str, number: str) -> web.Response:
        if number not in self._uploads:
            return refusal(404, "BLOB_UPLOAD_UNKNOWN")
        self._uploads[number] += await request.content.read()
        if request.method == "PUT":
            return self._keep(name, request.query.get("digest", ""), bytes(self._uploads.pop(number)))
        last = max(len(self._uploads[number]) - 1, 0)
        return web.Response(status=202, headers={"Location": request.path, "Range": f"0-{last}"})

    def _keep(self, name: str, digest: str, content: bytes) -> web.Response:
        if digest != digest_of(content):
            return refusal(400, "DIGEST_INVALID")
        self.put_blob(name, content)
        where = {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest}
        return web.Response(status=201, headers=where)

    async def _put(self, request: web.BaseRequest, name: str, what: str) -> web.Response:
        content = await request.content.read()
        by_digest = what.startswith("sha256:")
        if by_digest and what != digest_of(content):
            return refusal(400, "DIGEST_INVALID")
        digest = self.put_manifest(name, content, "" if by_digest else what, request.content_type)
        headers = {"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": digest}
        subject = json.loads(content).get("subject")
        if subject and self.referrers_api:
            # Tells a client not to write the fallback tag.
            headers["OCI-Subject"] = subject["digest"]
        return web.Response(status=201, headers=headers)


def refusal(status: int, code: str, headers: dict[str, str] | None = None) -> web.Response:
    """An error document of the distribution specification."""
    return web.json_response({"errors": [{"code": code, "message": code.lower()}]}, status=status, headers=headers)
