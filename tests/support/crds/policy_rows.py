"""RiskPolicies that the API server and the reading of files refuse, one broken rule a row."""

from __future__ import annotations

from typing import Any

from support.crds.manifests import ABSENT, APPROVED, DIGEST, Row

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
        "'demo' (a string); allowed is a metadata.name that ends in -3e1725d5",
    ),
    _policy(
        "a name with a dot",
        {"metadata.name": "a.b-3e1725d5"},
        "metadata.name in body should match",
        "metadata.name: 'a.b-3e1725d5' (a string); allowed is 1 to 63",
    ),
    _policy(
        "a name that is too long",
        {"metadata.name": "a" * 55 + "-3e1725d5"},
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
                "that rebases for no reason",
                {"verb": "rebase"},
                ": Invalid value: reason: needed where verb is rebase",
                "with its reason",
            ),
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
