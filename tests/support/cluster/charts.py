"""The charts as Helm renders them, with values that make them whole."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from testcluster.controlplane import ControlPlane

ROOT = Path(__file__).resolve().parents[3]
DIGEST = "sha256:" + "0" * 64
IMAGE = f"titan/titan@{DIGEST}"
NAMESPACES = {
    "titan-admission": "titan-system",
    "titan": "titan-system",
    "titan-stack": "titan",
    "titan-data": "titan-data",
}
# As a release's file gives them.
RELEASE = (
    "release.version=1.2.3",
    f"release.revision={'a' * 40}",
    "release.registry=registry.example/titan",
    *(f"release.digests.{name}={DIGEST}" for name in ("operator", "services", "postgresql", "nats")),
)
TRUST = (
    "trustPolicy.keys[0].name=release,trustPolicy.keys[0].pem=PEM",
    "trustPolicy.images[0].pattern=registry.test/titan/*",
)
# Chart, what it shows, values.
VARIANTS = [
    ("titan-admission", "of a release", RELEASE),
    ("titan", "of a release", (*RELEASE, *TRUST, "trustPolicy.infrastructure={registry.example/own@" + DIGEST + "}")),
    ("titan-stack", "of a release", RELEASE),
    ("titan-data", "of a release", (*RELEASE, "postgresql.enabled=true", "nats.enabled=true")),
    ("titan-admission", "as it is", ()),
    (
        "titan-admission",
        "all of it",
        (
            f"operator.imageDigests={{{DIGEST}}}",
            "data.namespaces={titan-data}",
            "guard.scope=cluster",
            "stackNamespaces={titan,second}",
        ),
    ),
    ("titan", "as it is", (f"image.digest={DIGEST}",)),
    (
        "titan",
        "all of it",
        (
            f"image.digest={DIGEST}",
            "imagePullSecrets[0].name=registry",
            "stackNamespaces={titan,second}",
            "networkPolicy.metricsNamespaces={monitoring}",
            f"trustPolicy.infrastructure={{registry.test/nats@{DIGEST}}}",
            *TRUST,
            "nodeSelector.disk=ssd",
            "tolerations[0].key=only,tolerations[0].operator=Exists",
        ),
    ),
    ("titan", "the least", (f"image.digest={DIGEST}", "namespaces.create=false", "networkPolicy.enabled=false")),
    ("titan-stack", "as it is", (f"image={IMAGE}",)),
    *(
        ("titan-stack", f"policy {name}", (f"image={IMAGE}", f"policy={name}"))
        for name in ("micro", "standard", "alpha")
    ),
    (
        "titan-stack",
        "a policy of one's own, no phase",
        (
            f"image={IMAGE}",
            "existingPolicy.name=mine-12345678",
            f"existingPolicy.hash={DIGEST}",
            "phases.scavenger=null",
        ),
    ),
    ("titan-stack", "tables in PostgreSQL", (f"image={IMAGE}", "phases.brain.databaseSecretRef.name=titan-database")),
    (
        "titan-stack",
        "from a private registry",
        (f"image={IMAGE}", "imagePullSecrets[0].name=registry,imagePullSecrets[1].name=mirror"),
    ),
    ("titan-data", "as it is", ()),
    (
        "titan-data",
        "all of it",
        (
            "postgresql.enabled=true",
            f"postgresql.image=postgres@{DIGEST}",
            "nats.enabled=true",
            f"nats.image=nats@{DIGEST}",
            "imagePullSecrets[0].name=registry",
        ),
    ),
]


def sets(values: tuple[str, ...]) -> list[str]:
    """Helm's flags for these values."""
    return [word for value in values for word in ("--set", value)]


@cache
def rendered(plane: ControlPlane, chart: str, values: tuple[str, ...]) -> str:
    """The chart's manifests, tests and CRDs included; the same for the same values, so Helm is asked once."""
    done = plane.helm(
        "template",
        chart,
        str(ROOT / "charts" / chart),
        "--namespace",
        NAMESPACES[chart],
        "--include-crds",
        *sets(values),
    )
    return done.stdout


def objects(text: str) -> list[dict[str, Any]]:
    """Every document."""
    return [document for document in yaml.safe_load_all(text) if document]
