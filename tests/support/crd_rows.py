"""Lists of images that are refused, one broken rule a row; and manifests of every kind that are accepted."""

from __future__ import annotations

from typing import Any

from support.crd_manifests import ABSENT, DIGEST, NOW, Row

_ACT = {"verb": "release", "nonce": "another-nonce", "by": "ana"}


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
    ("one weight", "scavenger", {"spec.parameters.weightImbalance": "0", "spec.parameters.weightSpread": "0"}),
    ("greatest leverage", "scavenger", {"spec.margin.leverage": "125"}),
    ("every field", "images", {}),
    ("a digest alone", "images", {"spec.images": [{"digest": DIGEST}]}),
    ("no image", "images", {"spec.images": []}),
]
