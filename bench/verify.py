"""Verification of an image whose registry is warm, beside a bare round trip to it; and of one that is known.

Run: ``python bench/verify.py``. A real registry in a process of its own (crane's, so by the fallback tag), and the real
cosign. To reach: keyed p50 < 30 ms; 0 requests for what is listed under the trust policy in force.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "ci")]

import aiohttp  # noqa: E402

from support.supplychain.signed_images import SignedImages  # noqa: E402
from support.supplychain.trust_policies import trust_policy  # noqa: E402
from titan_operator.admission.image_checks import ImageChecker  # noqa: E402
from titan_operator.admission.store import VerifiedImagesStore  # noqa: E402
from titan_operator.supplychain.cosign_verifier import CosignVerifier  # noqa: E402
from titan_operator.supplychain.mounted_verifier import trust_terms  # noqa: E402
from titan_operator.supplychain.registry import Registries  # noqa: E402
from titan_operator.supplychain.trust import TrustPolicy, read_trust_policy  # noqa: E402

ROUNDS = 200
P50_MS = 30.0


class Lists:
    """Keeps the lists of images in memory: the API server is not what is measured."""

    def __init__(self) -> None:
        self._stored: dict[str, Any] | None = None

    async def get(self, *_: object) -> dict[str, Any] | None:
        return self._stored

    async def apply(self, _: object, document: dict[str, Any]) -> None:
        self._stored = {**document, "metadata": {"resourceVersion": "1"}}


class Verifier(CosignVerifier):
    """A verifier with the terms of its trust policy, as the operator has it."""

    def __init__(self, policy: TrustPolicy, registries: Registries) -> None:
        super().__init__(policy, registries, lambda: datetime.now(UTC))
        self.terms, self.problem = trust_terms(policy), ""

    def reload(self) -> bool:
        return False


async def timed(call: Callable[[], Awaitable[object]]) -> list[float]:
    """Milliseconds of each round, ascending."""
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await call()
        found.append((time.perf_counter() - started) * 1e3)
    return sorted(found)


async def measure(images: SignedImages) -> int:
    late = []
    forms = {"bundle v0.3": images.signed("bundle"), "simple signing": images.push("older")}
    images.sign(forms["simple signing"], older_format=True)
    policy = read_trust_policy(trust_policy("**", images.key("release"), registries={"plainHttp": [images.address]}))
    requests = 0

    async def count(*_: object) -> None:
        nonlocal requests
        requests += 1

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(count)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[trace]) as session:
        registries = Registries(session, plain_http=frozenset({images.address}), mirrors={}, logins={}.get)
        verifier = Verifier(policy, registries)
        name, _, digest = forms["bundle v0.3"].removeprefix(f"{images.address}/").partition("@")
        address = f"http://{images.address}/v2/{name}/manifests/{digest}"

        async def bare() -> None:
            async with session.get(address) as answer:
                assert answer.status == 200
                await answer.read()

        async def good(image: str) -> None:
            verdict = await verifier.verify(image)
            assert verdict.verified, verdict

        await good(forms["bundle v0.3"])
        floor = statistics.median(await timed(bare))
        print(f"a bare round trip to the registry    p50 {floor:8.2f} ms")
        for form, image in forms.items():
            requests = 0
            found = await timed(lambda image=image: good(image))
            p50, p99 = found[ROUNDS // 2], found[ROUNDS * 99 // 100]
            ratio = p50 / floor
            print(f"verified: {form:26} p50 {p50:8.2f} ms  p99 {p99:8.2f} ms  {ratio:5.1f} round trips", end="")
            print(f"  {requests / ROUNDS:.1f} requests")
            late += [f"{form}: p50 {p50:.1f} ms; to reach: < {P50_MS:g} ms"] if p50 >= P50_MS else []
        store = VerifiedImagesStore(Lists(), ("a",), lambda: datetime.now(UTC))  # type: ignore[arg-type]
        checker = ImageChecker(verifier, store, time.monotonic)
        image = forms["bundle v0.3"]

        async def known() -> None:
            checked = await checker.check_images("a", [image], [digest])
            assert checked.verdicts[image].verified, checked

        await known()
        requests = 0
        p50 = statistics.median(await timed(known))
        print(f"known: {'listed under the trust policy':29} p50 {p50:8.2f} ms  {requests} requests")
        late += [f"known: {requests} requests; to reach: 0"] if requests else []
    for sentence in late:
        print(f"not reached: {sentence}", file=sys.stderr)
    return 1 if late else 0


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, SignedImages(Path(folder)) as images:
        return asyncio.run(measure(images))


if __name__ == "__main__":
    raise SystemExit(main())
