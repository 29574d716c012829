"""Manifests that the API server and the reading of files refuse, one broken rule a row; and those that both accept."""

from __future__ import annotations

from typing import Any

from support.crd_manifests import ABSENT, APPROVED, DIGEST, NOW, Row

LONG = "a" * 1001
_ACT = {"verb": "release", "nonce": "another-nonce", "by": "ana"}
_MANY = [f"A{number:03d}/USDT" for number in range(201)]


def _policy(description: str, changes: dict[str, Any], api: str, sentence: str) -> Row:
    return Row(description, "policy", changes, api, sentence)


POLICY: list[Row] = [
    _policy("unknown field of spec", {"spec.foo": 1}, 'unknown field "spec.foo"', "spec.foo: 1 (an integer): no such"),
    _policy("unknown rule", {"spec.rules.foo": 1}, 'unknown field "spec.rules.foo"', "spec.rules.foo: 1 (an integer)"),
    _policy("no spec", {"spec": ABSENT}, "spec: Required value", "spec: missing; it is required"),
    _policy("no rules", {"spec.rules": ABSENT}, "spec.rules: Required value", "spec.rules: missing"),
    _policy("no hash", {"spec.hash": ABSENT}, "spec.hash: Required value", "spec.hash: missing"),
    _policy("no posture", {"spec.posture": ABSENT}, "spec.posture: Required value", "spec.posture: missing"),
    _policy("a hash without its kind", {"spec.hash": "a" * 64}, "spec.hash in body should match", "spec.hash: 'aaa"),
    _policy("a hash that is too long", {"spec.hash": DIGEST + "a"}, "spec.hash: Too long", "allowed is sha256: and 64"),
    _policy("a posture of no kind", {"spec.posture": "armed"}, 'posture: Unsupported value: "armed"', "spec.posture:"),
    _policy(
        "a name without the hash",
        {"metadata.name": "demo"},
        "metadata.name: allowed is a name that ends in - and the first 8 digits",
        "'demo' (a string); allowed is a metadata.name that ends in -d7413498",
    ),
    _policy(
        "a name with a dot",
        {"metadata.name": "a.b-d7413498"},
        "metadata.name in body should match",
        "metadata.name: 'a.b-d7413498' (a string); allowed is 1 to 63",
    ),
    _policy(
        "a name that is too long",
        {"metadata.name": "a" * 55 + "-d7413498"},
        "metadata.name: Too long: may not be more than 63",
        "allowed is 1 to 63",
    ),
    _policy(
        "modes in another order",
        {**APPROVED, "spec.rules.modes": ["live", "paper"]},
        "spec.rules.modes: Invalid value: allowed is a list of some of paper, shadow, live, in this order",
        "allowed is a list of some of paper",
    ),
    _policy("a mode twice", {"spec.rules.modes": ["paper"] * 2}, "modes: Invalid value: allowed is a list", "modes: ["),
    _policy("no mode", {"spec.rules.modes": []}, "modes in body should have at least 1 items", "modes: []"),
    _policy("four modes", {"spec.rules.modes": ["paper"] * 4}, "modes: Too many: 4", "spec.rules.modes: ["),
    _policy("another mode", {"spec.rules.modes": ["test"]}, 'modes[0]: Unsupported value: "test"', "modes: ['test']"),
    _policy(
        "symbols that are not sorted",
        {"spec.rules.symbols": ["ETH/USDT", "BTC/USDT"]},
        "spec.rules.symbols: Invalid value: allowed is a sorted list",
        "allowed is a sorted list",
    ),
    _policy(
        "a symbol twice",
        {"spec.rules.symbols": ["BTC/USDT"] * 2},
        'symbols[1]: Duplicate value: "BTC/USDT"',
        "allowed is a sorted list",
    ),
    _policy("no symbol", {"spec.rules.symbols": []}, "symbols in body should have at least 1 items", "symbols: []"),
    _policy("too many symbols", {"spec.rules.symbols": _MANY}, "symbols: Too many: 201", "allowed is a sorted list"),
    _policy("a plain symbol", {"spec.rules.symbols": ["BTCUSDT"]}, "symbols[0] in body should match", "'BTCUSDT'"),
    _policy(
        "a symbol that is too long",
        {"spec.rules.symbols": ["A" * 39 + "/USD"]},
        "symbols[0]: Too long: may not be more than 42",
        "allowed is a sorted list",
    ),
    _policy(
        "an approval for nothing",
        APPROVED,
        "liveApproval: allowed only where modes hold live",
        "liveApproval: given, but modes are paper",
    ),
    *(
        _policy(
            f"an approval {what}",
            {"spec.rules.modes": ["paper", "live"], **APPROVED, f"spec.rules.liveApproval.{field}": value},
            f"spec.rules.liveApproval.{field}{api}",
            "allowed is an object of exactly the strings reference, approvedBy",
        )
        for what, field, value, api in (
            ("without its record", "reference", ABSENT, ": Required value"),
            ("by nobody", "approvedBy", ABSENT, ": Required value"),
            ("for ever", "expires", ABSENT, ": Required value"),
            ("by a strange record", "reference", "?", " in body should match"),
            ("by a strange name", "approvedBy", "", " in body should match"),
            ("by a long record", "reference", "a" * 201, ": Too long: may not be more than 200"),
            ("by a long name", "approvedBy", "a" * 201, ": Too long: may not be more than 200"),
            ("until a month that is none", "expires", "2027-13-01T00:00:00Z", " in body must be of type date-time"),
            ("until a small letter", "expires", "2027-01-01t00:00:00z", " in body should match"),
            ("until a long second", "expires", "2027-01-01T00:00:00.000Z", ": Too long: may not be more than 20"),
        )
    ),
    *(
        _policy(
            f"{lower} {what} {upper}",
            {f"spec.rules.{lower}": low, f"spec.rules.{upper}": high},
            f"spec.rules: Invalid value: allowed is {order}",
            f"; allowed is {order}",
        )
        for lower, low, what, upper, high, order in (
            ("drawdownCaution", "0.2", "above", "drawdownDefensive", "0.1", "drawdownCaution < drawdownDefensive < "),
            ("drawdownDefensive", "0.5", "equals", "drawdownEmergency", "0.5", "drawdownCaution < drawdownDefensive "),
            ("maxOrderNotional", "9.5", "above", "maxPositionNotional", "9", "maxOrderNotional <= maxPositionNotional"),
            ("maxPositionNotional", "50000", "above", "maxTotalNotional", "49999", "maxOrderNotional <= maxPosition"),
            ("maxLossPerTrade", "0.02", "above", "maxDailyLossFraction", "0.01", "maxLossPerTrade <= maxDailyLoss"),
            ("latencyReduceMs", 500, "equals", "latencyRejectMs", 500, "latencyReduceMs < latencyRejectMs"),
            ("defensiveTruthScore", 80, "equals", "minTruthScore", 80, "defensiveTruthScore < minTruthScore"),
            ("venueErrorsDefensive", "0.3", "above", "venueErrorsEmergency", "0.2", "venueErrorsDefensive < venueErr"),
        )
    ),
    *(
        _policy(f"an act {what}", {"spec.act": {**_ACT, **change}}, f"spec.act{api}", sentence)
        for what, change, api, sentence in (
            ("of no kind", {"verb": "sell"}, '.verb: Unsupported value: "sell"', "spec.act.verb: 'sell' (a string)"),
            ("with a short nonce", {"nonce": "1234567"}, ".nonce in body should match", "spec.act.nonce: '1234567'"),
            ("with a long nonce", {"nonce": "1" * 65}, ".nonce: Too long: may not be more than 64", "8 to 64 of A-Z"),
            ("by nobody", {"by": ""}, ".by in body should match", "spec.act.by: '' (a string); allowed is a user name"),
            ("by a long name", {"by": "a" * 257}, ".by: Too long: may not be more than 256", "allowed is a user name"),
            ("of two lines", {"reason": "a\nb"}, ".reason in body should match", "spec.act.reason: 'a\\nb'"),
            ("with a long reason", {"reason": "a" * 201}, ".reason: Too long: may not be more", "1 to 200 characters"),
            ("for a phase of no name", {"phase": "A"}, ".phase in body should match", "spec.act.phase: 'A' (a string)"),
            ("for a long phase", {"phase": "a" * 41}, ".phase: Too long: may not be more than 40", "1 to 40 of a-z"),
            (
                "that halts one phase",
                {"verb": "halt", "phase": "brain"},
                ": Invalid value: phase: allowed only where verb is release",
                "'brain' (a string); allowed is a phase only where verb is release",
            ),
        )
    ),
    *(
        _policy(
            f"an act without {field}",
            {"spec.act": {key: value for key, value in _ACT.items() if key != field}},
            f"spec.act.{field}: Required value",
            f"spec.act.{field}: missing",
        )
        for field in ("verb", "nonce", "by")
    ),
    *(
        _policy(f"a signature {what}", {f"spec.signature.{field}": value}, f"spec.signature.{field}{api}", sentence)
        for what, field, value, api, sentence in (
            ("without a bundle", "bundle", ABSENT, ": Required value", "spec.signature.bundle: missing"),
            ("without an account", "account", ABSENT, ": Required value", "spec.signature.account: missing"),
            ("without a sequence", "sequence", ABSENT, ": Required value", "spec.signature.sequence: missing"),
            ("that is no bundle", "bundle", "abc", " in body should match", "allowed is a cosign bundle"),
            ("that is too long", "bundle", "{" + "a" * 32767 + "}", ": Too long", "allowed is a cosign bundle"),
            ("of a strange account", "account", "/", " in body should match", "spec.signature.account: '/'"),
            ("of a long account", "account", "a" * 201, ": Too long", "1 to 200 plain characters"),
            ("before the first", "sequence", 0, ": Invalid value: 0: ", "spec.signature.sequence: 0 (an integer)"),
            ("beyond the last", "sequence", 2**53, f": Invalid value: {2**53}: ", "allowed is an integer from 1"),
        )
    ),
]


def _foreign(base: str, field: str, value: Any, roles: str) -> Row:
    says = f"spec: Invalid value: {field}: allowed only for role {roles}"
    return Row(f"{field} of another role", base, {f"spec.{field}": value}, says, f"spec.{field}: ")


def _lacking(base: str, field: str, roles: str) -> Row:
    says = f"spec: Invalid value: {field}: required for role {roles}"
    return Row(f"no {field}", base, {f"spec.{field}": ABSENT}, says, f"spec.{field}: missing; it is required")


_REF = {"name": "demo-d7413498", "hash": DIGEST}
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
    Row("no boolean", "brain", {"spec.suspend": "no"}, 'suspend: Invalid value: "string"', "spec.suspend: 'no'"),
    Row("an unknown field", "brain", {"spec.foo": 1}, 'unknown field "spec.foo"', "spec.foo: 1 (an integer): no such"),
    Row("an unknown parameter", "scavenger", {"spec.parameters.x": 1}, 'unknown field "spec.parameters.x"', "no such"),
    Row("a name of no letter", "brain", {"metadata.name": "1"}, "metadata.name in body should match", "1 to 40 of"),
    Row("a long name", "brain", {"metadata.name": "a" * 41}, "metadata.name: Too long: may not be", "1 to 40 of a-z"),
    Row("another mode", "brain", {"spec.mode": "shadow"}, 'spec.mode: Unsupported value: "shadow"', "spec.mode: 's"),
    Row("another way to go", "brain", {"spec.onDelete": "Keep"}, 'onDelete: Unsupported value: "Keep"', "spec.onDel"),
    _foreign("brain", "symbols", ["BTC/USDT"], "marketdata or scavenger"),
    _foreign("brain", "parameters", {}, "marketdata or papervenue or scavenger"),
    _foreign("scavenger", "storage", {"size": "1Gi"}, "papervenue or execution or brain"),
    _foreign("marketdata", "policyRef", _REF, _TRADERS),
    _foreign("marketdata", "mode", "paper", _TRADERS),
    _foreign("papervenue", "onDelete", "Drain", _TRADERS),
    _foreign("brain", "secretRef", {"name": "keys"}, "execution"),
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
            ("of a short hash", "hash", "d7413498", " in body should match", "spec.policyRef.hash: 'd7413498'"),
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
    Row("a strange size", "brain", {"spec.storage.size": "1k"}, "storage.size in body should match", "size: '1k'"),
    Row("a long size", "brain", {"spec.storage.size": "100000Mi"}, "storage.size: Too long", "size: '100000Mi'"),
    Row("no secret", "execution", {"spec.secretRef": {}}, "secretRef.name: Required value", "secretRef.name: missing"),
    Row("a strange secret", "execution", {"spec.secretRef.name": "A"}, "secretRef.name in body should match", "'A'"),
    Row("a long secret", "execution", {"spec.secretRef.name": "a" * 64}, "secretRef.name: Too long", "1 to 63 of"),
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
            ("long", [LONG], "[0]: Too long: may not be more than 1000"),
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

IMAGES: list[Row] = [
    Row("no spec", "images", {"spec": ABSENT}, "spec: Required value", "missing required field `spec`"),
    *(
        Row(what, "images", {f"spec.images.0.{field}": value}, f"spec.images[0].{field}{api}", f"{field}`")
        for what, field, value, api in (
            ("a digest of no kind", "digest", "a" * 64, " in body should match"),
            ("a long digest", "digest", DIGEST + "a", ": Too long: may not be more than 71"),
            ("an image of two lines", "image", "a\nb", " in body should match"),
            ("an image of nothing", "image", "", " in body should match"),
            ("a long image", "image", "a" * 501, ": Too long: may not be more than 500"),
            ("a key of two lines", "verifiedBy", "a\nb", " in body should match"),
            ("a key of nothing", "verifiedBy", "", " in body should match"),
            ("a long key", "verifiedBy", "a" * 257, ": Too long: may not be more than 256"),
            ("a time of no kind", "verifiedAt", "now", " in body should match"),
            ("a long time", "verifiedAt", NOW[:-1] + ".0Z", ": Too long: may not be more than 20"),
            ("a trust policy of no kind", "trustPolicy", "b" * 64, " in body should match"),
            ("a long trust policy", "trustPolicy", DIGEST + "b", ": Too long: may not be more than 71"),
        )
    ),
    Row("no digest", "images", {"spec.images.0.digest": ABSENT}, "images[0].digest: Required value", "field `digest`"),
    Row("a digest twice", "images", {"spec.images": [{"digest": DIGEST}] * 2}, "images[1]: Duplicate value", ""),
    Row(
        "too many images",
        "images",
        {"spec.images": [{"digest": f"sha256:{number:064x}"} for number in range(501)]},
        "spec.images: Too many: 501: must have at most 500",
        "length <= 500",
    ),
    Row("a name with a dot", "images", {"metadata.name": "a.b"}, "metadata.name in body should match", ""),
    Row("a long name", "images", {"metadata.name": "a" * 64}, "metadata.name: Too long: may not be more than 63", ""),
]

ACCEPTED: list[tuple[str, str, dict[str, Any]]] = [
    ("every field", "policy", {}),
    ("neither act nor signature", "policy", {"spec.act": ABSENT, "spec.signature": ABSENT}),
    ("labels and annotations", "policy", {"metadata.labels": {"a": "b"}, "metadata.annotations": {"a/b": "c\nd"}}),
    ("a low ceiling", "policy", {"spec.posture": "FLATTEN"}),
    ("release of all", "policy", {"spec.act": _ACT}),
    ("release of one", "policy", {"spec.act": {**_ACT, "phase": "brain"}}),
    (
        "an act of a service account",
        "policy",
        {"spec.act.by": "system:serviceaccount:flux-system:kustomize-controller"},
    ),
    ("every field", "marketdata", {}),
    ("one symbol", "marketdata", {"spec.symbols": ["BTC/USDT"]}),
    ("only requests", "marketdata", {"spec.resources.limits": ABSENT}),
    ("requests as limits", "marketdata", {"spec.resources.requests": {"cpu": "1000m", "memory": "1024Mi"}}),
    ("no resources", "marketdata", {"spec.resources": {}}),
    ("as fast as it can", "marketdata", {"spec.parameters.speed": "max"}),
    ("a fraction of speed", "marketdata", {"spec.parameters.speed": "1.5"}),
    ("no files given", "marketdata", {"spec.parameters.files": []}),
    ("a replay", "replay", {}),
    ("a file of another script", "replay", {"spec.parameters.files": ["/données/é.gz"]}),
    ("every field", "papervenue", {}),
    ("no parameters", "papervenue", {"spec.parameters": ABSENT}),
    ("no storage", "papervenue", {"spec.storage": ABSENT}),
    ("every field", "execution", {}),
    ("live", "execution", {"spec.mode": "live"}),
    ("orphan", "brain", {"spec.onDelete": "Orphan"}),
    ("suspended", "brain", {"spec.suspend": True}),
    ("a name of 40", "brain", {"metadata.name": "a" * 40}),
    ("every field", "scavenger", {}),
    ("spot first", "scavenger", {"spec.symbols": ["BTC/USDT", "BTC/USDT:USDT"]}),
    ("no parameters", "scavenger", {"spec.parameters": ABSENT}),
    ("greatest leverage", "scavenger", {"spec.margin.leverage": "125"}),
    ("every field", "images", {}),
    ("a digest alone", "images", {"spec.images": [{"digest": DIGEST}]}),
    ("no image", "images", {"spec.images": []}),
]
