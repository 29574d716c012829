"""Lists of images that are refused, one broken rule a row; and manifests of every kind that are accepted."""

from __future__ import annotations

from typing import Any

from support.crds.manifests import ABSENT, DIGEST, NOW, Row

_ACT = {"verb": "release", "nonce": "another-nonce", "by": "ana"}


_LISTS = (("images", 500), ("infrastructure", 50), ("revoked", 500))
# Required fields of an entry besides its digest.
_REST: dict[str, dict[str, str]] = {"images": {}, "infrastructure": {}, "revoked": {"message": "m", "revokedAt": NOW}}
_WHERE = ("images", "infrastructure", "revoked")
_BROKEN: tuple[tuple[str, str, object, str, tuple[str, ...]], ...] = (
    ("a digest of no kind", "digest", "a" * 64, " in body should match", _WHERE),
    ("a long digest", "digest", DIGEST + "a", ": Too long: may not be more than 71", _WHERE),
    ("an image of two lines", "image", "a\nb", " in body should match", _WHERE),
    ("an image of nothing", "image", "", " in body should match", _WHERE),
    ("a long image", "image", "a" * 501, ": Too long: may not be more than 500", _WHERE),
    ("a key of two lines", "verifiedBy", "a\nb", " in body should match", ("images",)),
    ("a key of nothing", "verifiedBy", "", " in body should match", ("images",)),
    ("a long key", "verifiedBy", "a" * 257, ": Too long: may not be more than 256", ("images",)),
    ("a time of no kind", "verifiedAt", "now", " in body should match", ("images",)),
    ("a long time", "verifiedAt", NOW[:-1] + ".0Z", ": Too long: may not be more than 20", ("images",)),
    ("a trust policy of no kind", "trustPolicy", "b" * 64, " in body should match", _WHERE),
    ("a long trust policy", "trustPolicy", DIGEST + "b", ": Too long: may not be more than 71", _WHERE),
    ("a long message", "message", "a" * 1025, ": Too long: may not be more than 1024", ("revoked",)),
    ("a time of no kind", "revokedAt", "now", " in body should match", ("revoked",)),
    ("a long time", "revokedAt", NOW[:-1] + ".0Z", ": Too long: may not be more than 20", ("revoked",)),
)

IMAGES: list[Row] = [
    Row("no spec", "images", {"spec": ABSENT}, "spec: Required value", "missing required field `spec`"),
    *(
        Row(f"{what}, {lists}", "images", {f"spec.{lists}.0.{field}": value}, f"spec.{lists}[0].{field}{api}", field)
        for what, field, value, api, wheres in _BROKEN
        for lists in wheres
    ),
    *(
        Row(
            f"no {field}, {lists}",
            "images",
            {f"spec.{lists}.0.{field}": ABSENT},
            f"{lists}[0].{field}: Required value",
            f"field `{field}`",
        )
        for lists, field in (*((lists, "digest") for lists in _WHERE), ("revoked", "message"), ("revoked", "revokedAt"))
    ),
    *(
        Row(
            f"a digest twice, {lists}",
            "images",
            {f"spec.{lists}": [{"digest": DIGEST, **_REST[lists]}] * 2},
            f"{lists}[1]: Duplicate value",
            "",
        )
        for lists in _WHERE
    ),
    *(
        Row(
            f"too many {lists}",
            "images",
            {f"spec.{lists}": [{"digest": f"sha256:{number:064x}", **_REST[lists]} for number in range(most + 1)]},
            f"spec.{lists}: Too many: {most + 1}: must have at most {most}",
            f"length <= {most}",
        )
        for lists, most in _LISTS
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
    ("one weight", "scavenger", {"spec.parameters.weightImbalance": "0", "spec.parameters.weightSpread": "0"}),
    ("greatest leverage", "scavenger", {"spec.margin.leverage": "125"}),
    ("every field", "images", {}),
    ("a digest alone", "images", {"spec.images": [{"digest": DIGEST}]}),
    ("no image", "images", {"spec.images": []}),
]
