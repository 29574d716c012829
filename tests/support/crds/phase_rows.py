"""TitanPhases that the API server and the reading of files refuse, one broken rule a row."""

from __future__ import annotations

from typing import Any

from support.crds.manifests import ABSENT, DIGEST, Row

_MANY = [f"A{number:03d}/USDT" for number in range(201)]


def _foreign(base: str, field: str, value: Any, roles: str) -> Row:
    says = f"spec: Invalid value: {field}: allowed only for role {roles}"
    return Row(f"{field} of another role", base, {f"spec.{field}": value}, says, f"spec.{field}: ")


def _lacking(base: str, field: str, roles: str) -> Row:
    says = f"spec: Invalid value: {field}: required for role {roles}"
    return Row(f"no {field}", base, {f"spec.{field}": ABSENT}, says, f"spec.{field}: missing; it is required")


_REF = {"name": "demo-3e1725d5", "hash": DIGEST}
_WEIGHTS = ("weightImbalance", "weightBurst", "weightSpread", "weightAlignment")
_TRADERS = "execution or brain or scavenger"

PHASE: list[Row] = [
    Row("no spec", "brain", {"spec": ABSENT}, "spec: Required value", "spec: missing"),
    Row("no role", "brain", {"spec.role": ABSENT}, "spec.role: Required value", "spec.role: missing"),
    Row("a role that is none", "brain", {"spec.role": "hunter"}, 'role: Unsupported value: "hunter"', "spec.role: 'h"),
    Row("no image", "brain", {"spec.image": ABSENT}, "spec.image: Required value", "spec.image: missing"),
    Row("an image by tag", "brain", {"spec.image": "titan:1"}, "spec.image in body should match", "image by digest"),
    Row(
        "an image that is too long",
        "brain",
        {"spec.image": "/".join(["a" * 90] * 6) + f"@{DIGEST}"},
        "spec.image: Too long: may not be more than 500",
        "allowed is an image by digest",
    ),
    *(
        Row(f"pull secrets: {what}", "brain", {"spec.imagePullSecrets": value}, api, "a list of up to 8 different")
        for what, value, api in (
            ("no list", "registry", 'imagePullSecrets: Invalid value: "string"'),
            ("names", ["registry"], 'imagePullSecrets[0]: Invalid value: "string"'),
            ("too many", [{"name": f"s{number}"} for number in range(9)], "imagePullSecrets: Too many: 9"),
            ("twice", [{"name": "a"}, {"name": "a"}], "imagePullSecrets[1]: Duplicate value"),
            ("nameless", [{}], "imagePullSecrets[0].name: Required value"),
            ("a key", [{"name": "a", "key": "b"}], 'unknown field "spec.imagePullSecrets[0].key"'),
        )
    ),
    *(
        Row(f"pull secrets: {what}", "brain", {"spec.imagePullSecrets": [{"name": name}]}, api, "1 to 63 of a-z")
        for what, name, api in (
            ("a strange name", "Registry", "imagePullSecrets[0].name in body should match"),
            ("a long name", "a" * 64, "imagePullSecrets[0].name: Too long"),
        )
    ),
    Row("no boolean", "brain", {"spec.suspend": "no"}, 'suspend: Invalid value: "string"', "spec.suspend: 'no'"),
    Row("an unknown field", "brain", {"spec.foo": 1}, 'unknown field "spec.foo"', "spec.foo: 1 (an integer): no such"),
    Row("an unknown parameter", "scavenger", {"spec.parameters.x": 1}, 'unknown field "spec.parameters.x"', "no such"),
    Row("a name of no letter", "brain", {"metadata.name": "1"}, "metadata.name in body should match", "1 to 40 of"),
    Row("a long name", "brain", {"metadata.name": "a" * 41}, "metadata.name: Too long: may not be", "1 to 40 of a-z"),
    Row("another mode", "brain", {"spec.mode": "trial"}, 'spec.mode: Unsupported value: "trial"', "spec.mode: 't"),
    Row("another way to go", "brain", {"spec.onDelete": "Keep"}, 'onDelete: Unsupported value: "Keep"', "spec.onDel"),
    _foreign("brain", "symbols", ["BTC/USDT"], "marketdata or scavenger"),
    _foreign("brain", "parameters", {}, "marketdata or papervenue or scavenger"),
    _foreign("scavenger", "storage", {"size": "1Gi"}, "papervenue or execution or brain"),
    _foreign("marketdata", "policyRef", _REF, _TRADERS),
    _foreign("marketdata", "mode", "paper", _TRADERS),
    _foreign("papervenue", "onDelete", "Drain", _TRADERS),
    _foreign("brain", "secretRef", {"name": "keys"}, "execution"),
    _foreign("papervenue", "databaseSecretRef", {"name": "db"}, "execution or brain"),
    _foreign("brain", "margin", {"leverage": "15"}, "scavenger"),
    *(
        _foreign("scavenger", f"parameters.{field}", value, "marketdata")
        for field, value in (
            ("source", "simulated"),
            ("seed", 1),
            ("files", []),
            ("speed", "1"),
            ("stepMs", 0),
            ("durationS", 0),
        )
    ),
    _foreign("marketdata", "parameters.initialBalance", "200", "papervenue"),
    _foreign("marketdata", "parameters.latencyMs", 50, "papervenue"),
    _lacking("marketdata", "symbols", "marketdata or scavenger"),
    _lacking("marketdata", "parameters", "marketdata"),
    _lacking("brain", "policyRef", _TRADERS),
    _lacking("execution", "mode", _TRADERS),
    _lacking("marketdata", "parameters.source", "marketdata"),
    *(
        Row(f"a policy {what}", "brain", {f"spec.policyRef.{field}": value}, f"spec.policyRef.{field}{api}", sentence)
        for what, field, value, api, sentence in (
            ("without a name", "name", ABSENT, ": Required value", "spec.policyRef.name: missing"),
            ("without a hash", "hash", ABSENT, ": Required value", "spec.policyRef.hash: missing"),
            ("of a strange name", "name", "Demo", " in body should match", "spec.policyRef.name: 'Demo'"),
            ("of a long name", "name", "a" * 64, ": Too long: may not be more than 63", "1 to 63 of a-z"),
            ("of a short hash", "hash", "3e1725d5", " in body should match", "spec.policyRef.hash: '3e1725d5'"),
            ("of a long hash", "hash", DIGEST + "a", ": Too long: may not be more than 71", "sha256: and 64"),
        )
    ),
    *(
        Row(f"{what} {field}", "marketdata", {f"spec.resources.{side}.{field}": value}, api, sentence)
        for side in ("requests", "limits")
        for what, field, value, api, sentence in (
            ("strange", "cpu", "1k", f"{side}.cpu in body should match", f"spec.resources.{side}.cpu: '1k'"),
            ("long", "cpu", "100000m", f"{side}.cpu: Too long", f"spec.resources.{side}.cpu: '100000m'"),
            ("strange", "memory", "1G", f"{side}.memory in body should match", f"resources.{side}.memory: '1G'"),
            ("long", "memory", "100000Mi", f"{side}.memory: Too long", f"resources.{side}.memory: '100000Mi'"),
        )
    ),
    Row(
        "more processors than allowed",
        "marketdata",
        {"spec.resources.requests.cpu": "1001m"},
        "spec.resources: Invalid value: requests.cpu: allowed is at most limits.cpu",
        "'1001m' (a string); allowed is requests.cpu up to limits.cpu, 1",
    ),
    Row(
        "more memory than allowed",
        "marketdata",
        {"spec.resources.requests.memory": "1025Mi"},
        "spec.resources: Invalid value: requests.memory: allowed is at most limits.memory",
        "'1025Mi' (a string); allowed is requests.memory up to limits.memory, 1Gi",
    ),
    *(
        Row(f"parameters: {lower}", "scavenger", {f"spec.parameters.{lower}": value}, f"allowed is {order}", sentence)
        for lower, value, order, sentence in (
            (
                "minLevelBars",
                6,
                "minLevelBars <= levelBars",
                "min_level_bars: 6 is not allowed; at most level_bars = 5",
            ),
            ("memoryBars", 4, "levelBars <= memoryBars", "level_bars: 5 is not allowed; at most memory_bars = 4"),
            ("swingBars", 4, "swingBars < minLevelBars", "swing_bars: 4 is not allowed; less than min_level_bars = 4"),
            ("settleMs", 2501, "settleMs <= confirmMs", "settle_ms: 2501 is not allowed; at most confirm_ms = 2500"),
        )
    ),
    Row(
        "no weight",
        "scavenger",
        {f"spec.parameters.{weight}": "0" for weight in _WEIGHTS},
        "spec.parameters: Invalid value: allowed is one at least above 0 of weightImbalance, weightBurst",
        "weight_imbalance: 0.0 is not allowed; at least one weight above 0",
    ),
    Row("a strange size", "brain", {"spec.storage.size": "1k"}, "storage.size in body should match", "size: '1k'"),
    Row("a long size", "brain", {"spec.storage.size": "100000Mi"}, "storage.size: Too long", "size: '100000Mi'"),
    Row("no secret", "execution", {"spec.secretRef": {}}, "secretRef.name: Required value", "secretRef.name: missing"),
    Row("a strange secret", "execution", {"spec.secretRef.name": "A"}, "secretRef.name in body should match", "'A'"),
    Row("a long secret", "execution", {"spec.secretRef.name": "a" * 64}, "secretRef.name: Too long", "1 to 63 of"),
    Row("no database", "brain", {"spec.databaseSecretRef": {}}, "databaseSecretRef.name: Required", "name: missing"),
    Row("a strange database", "brain", {"spec.databaseSecretRef.name": "A"}, "databaseSecretRef.name in body", "'A'"),
    Row("a long database", "brain", {"spec.databaseSecretRef.name": "a" * 64}, "name: Too long", "1 to 63 of"),
    Row(
        "a password in the open",
        "brain",
        {"spec.databaseSecretRef": {"name": "db", "url": "postgresql+asyncpg://titan:hush@db/titan"}},
        'unknown field "spec.databaseSecretRef.url"',
        "spec.databaseSecretRef.url",
    ),
    Row("no leverage", "scavenger", {"spec.margin": {}}, "margin.leverage: Required value", "leverage: missing"),
    Row("half a leverage", "scavenger", {"spec.margin.leverage": "1.5"}, "leverage in body should match", "'1.5'"),
    Row("a long leverage", "scavenger", {"spec.margin.leverage": "1000"}, "leverage: Too long", "a whole multiple"),
    Row("too much leverage", "scavenger", {"spec.margin.leverage": "126"}, "leverage: Invalid value: ", "'126'"),
    *(
        Row(f"symbols: {what}", base, {"spec.symbols": value}, api, sentence)
        for what, base, value, api, sentence in (
            ("none", "marketdata", [], "spec.symbols in body should have at least 1 items", "spec.symbols: []"),
            ("too many", "marketdata", _MANY, "spec.symbols: Too many: 201", "allowed is a list of 1 to 200"),
            ("twice", "marketdata", ["A/USDT"] * 2, "symbols[1]: Duplicate value", "spec.symbols: 'A/USDT'"),
            ("plain", "marketdata", ["BTCUSDT"], "symbols[0] in body should match", "spec.symbols: 'BTCUSDT'"),
            ("long", "marketdata", ["A" * 39 + "/USD"], "symbols[0]: Too long", "allowed is a list of 1 to 200"),
            ("one", "scavenger", ["A/BC:BC"], "symbols: allowed for a scavenger are one perpetual", "of one perpetual"),
        )
    ),
    Row(
        "two spot markets",
        "scavenger",
        {"spec.symbols": ["BTC/USDT", "ETH/USDT"]},
        "symbols: allowed for a scavenger are one perpetual and the spot market",
        "allowed is symbols of one perpetual and the spot market",
    ),
    *(
        Row(f"market: {what}", "marketdata", {f"spec.parameters.{field}": value}, f"spec.parameters{api}", sentence)
        for what, field, value, api, sentence in (
            ("no source", "source", "live", '.source: Unsupported value: "live"', "parameters.source: 'live'"),
            ("early seed", "seed", -1, ".seed in body should be greater", "parameters.seed: -1"),
            ("late seed", "seed", 2**53, ".seed in body should be less", f"parameters.seed: {2**53}"),
            ("strange speed", "speed", "fast", ".speed in body should match", "parameters.speed: 'fast'"),
            ("long speed", "speed", "1" * 39, ".speed: Too long: may not be more than 38", 'allowed is "max" or'),
            ("too slow", "speed", "0.9", '.speed: Invalid value: "0.9": allowed is "max" or', "speed: '0.9'"),
            ("too fast", "speed", "1001", '.speed: Invalid value: "1001": allowed is "max" or', "speed: '1001'"),
            ("early step", "stepMs", -1, ".stepMs in body should be greater", "parameters.stepMs: -1"),
            ("late step", "stepMs", 10001, ".stepMs in body should be less", "parameters.stepMs: 10001"),
            ("early end", "durationS", -1, ".durationS in body should be greater", "parameters.durationS: -1"),
            ("late end", "durationS", 10**9 + 1, ".durationS in body should be less", "durationS: 1000000001"),
            ("files", "files", ["a"], ": Invalid value: files: allowed only where source is replay", "files only"),
        )
    ),
    Row(
        "a seed for a replay",
        "replay",
        {"spec.parameters.seed": 1},
        "spec.parameters: Invalid value: seed: allowed only where source is simulated",
        "1 (an integer); allowed is a seed only where source is simulated",
    ),
    *(
        Row(
            f"files: {what}", "replay", {"spec.parameters.files": value}, f"spec.parameters.files{api}", "up to 64 diff"
        )
        for what, value, api in (
            ("too many", [f"f{number}" for number in range(65)], ": Too many: 65: must have at most 64"),
            ("twice", ["a", "a"], '[1]: Duplicate value: "a"'),
            ("two in one", ["a,b"], "[0] in body should match"),
            ("long", ["a" * 1001], "[0]: Too long: may not be more than 1000"),
        )
    ),
    *(
        Row(f"venue: {what}", "papervenue", {f"spec.parameters.{field}": value}, f"spec.parameters.{field}{api}", field)
        for what, field, value, api in (
            ("no money", "initialBalance", "0.9", ': Invalid value: "0.9": allowed is a canonical decimal'),
            ("much money", "initialBalance", "1000000001", ': Invalid value: "1000000001": allowed is a canonical'),
            ("a thousand", "initialBalance", "1k", " in body should match"),
            ("long money", "initialBalance", "1" * 39, ": Too long: may not be more than 38"),
            ("too near", "latencyMs", 0, " in body should be greater"),
            ("too far", "latencyMs", 10001, " in body should be less"),
        )
    ),
]
