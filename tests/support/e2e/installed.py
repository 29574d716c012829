"""Titan in a cluster as people install it: the four charts with a release's values, and a stack."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

import yaml

from support.cluster.running_stack import EAGER
from support.e2e.pods import BUSY_MS, Pods
from support.e2e.release import Release
from support.e2e.story import Story
from support.e2e.target import ROOT, Target

STACK, SYSTEM, DATA = "titan", "titan-system", "titan-data"
CHARTS = ROOT / "charts"
# Half of it is a certificate's time before it is renewed.
FIRST_LIFETIME_S = 180
# The demo's policy pauses a phase that loses three times in a row, and whoever trades all the time for fees alone does;
# it asks for an edge, of which such trips leave ever less: here a good score counts for more, and targets are far; and
# what a trade may lose of an equity that fees have eaten from must still be enough for the venue's least quantity.
# Small orders pay small fees: a phase that lost 5 % of its allocation in a day opens nothing more that day.
RULES = {
    "scoreLift": "0.5",
    "maxLossPerTrade": "0.02",
    "lossStreakCount": "100",
    "drawdownCaution": "0.2",
    "drawdownDefensive": "0.3",
    "drawdownEmergency": "0.4",
    "maxDailyLossFraction": "0.5",
    "equityFloor": "80",
    "maxOrderNotional": "150",
}


@dataclass
class Titan:
    """The charts on one cluster."""

    target: Target
    release: Release
    story: Story
    pods: Pods
    _policy: dict[str, Any] = field(default_factory=dict)

    def install(self) -> None:
        """titan-admission first, then the operator, then PostgreSQL, as the docs say."""
        for namespace in (SYSTEM, DATA):
            self.target.kubectl("create", "namespace", namespace)
        self.upgrade("titan-admission", SYSTEM, {"stackNamespaces": [STACK], "data": {"namespaces": [DATA]}})
        # Shorter than the chart allows people: the first certificates are renewed within the story.
        values = self.operator_values(certificateLifetimeSeconds=FIRST_LIFETIME_S)
        self.upgrade("titan", SYSTEM, values, "--skip-schema-validation")
        self.story.tell("charts titan-admission and titan are installed; the operator is ready")
        # Listed by the operator, and then seen by the API server: a moment each.
        image = self.release.images["postgresql"]
        self.pods.wait("PostgreSQL's image to be admitted", lambda: self.admits(DATA, image))
        password = secrets.token_hex(24)
        self._secret(DATA, "titan-postgresql", "password", password)
        self.upgrade("titan-data", DATA, {"stackNamespaces": [STACK], "postgresql": {"enabled": True}})
        url = f"postgresql+asyncpg://titan:{password}@postgresql.{DATA}.svc:5432/titan"
        self._secret(STACK, "titan-database", "url", url)
        self.story.tell("chart titan-data is installed; PostgreSQL is ready")

    def start_stack(self) -> None:
        """The quick start by its chart, on a policy of its own that lets it trade all the time."""
        rules = [word for name, value in RULES.items() for word in ("--set", f"{name}={value}")]
        source = ("--from", str(ROOT / "policies" / "demo.yaml"), "--name", "story", "--posture", "ARMED")
        written = self.pods.titan("policy", "new", *source, *rules, namespace=STACK).stdout
        self.target.kubectl("apply", "-n", STACK, "-f", "-", stdin=written)
        self._policy = yaml.safe_load(written)
        with self.story.timed("helm install of the quick start, until all is ready"):
            self.upgrade("titan-stack", STACK, self.stack_values(BUSY_MS))

    def admits(self, namespace: str, image: str) -> bool:
        """Whether the API server would take a pod of an image from the cluster's own controllers, at this moment."""
        user = ("--as=system:serviceaccount:kube-system:replicaset-controller", "--as-group=system:masters")
        pod = yaml.safe_dump(pod_of(image))
        flags = ("-n", namespace, "--dry-run=server", "-f", "-")
        return self.target.kubectl("create", *flags, *user, stdin=pod, check=False).returncode == 0

    def operator_values(self, not_after: str = "", **settings: Any) -> dict[str, Any]:
        """Return values of the operator's chart besides the release; ``not_after`` is the end of the key's validity."""
        key = {"name": "release", "pem": self.release.public_key, **({"notAfter": not_after} if not_after else {})}
        registry = self.target.registry
        return {
            "stackNamespaces": [STACK],
            "settings": {"pollSeconds": 1} | settings,
            "trustPolicy": {
                "keys": [key],
                "images": [{"pattern": f"{registry}/**"}],
                "registries": {"plainHttp": [registry]},
            },
        }

    def stack_values(self, hold_ms: int, image: str = "") -> dict[str, Any]:
        """The quick start with a phase that trades at each crossing."""
        parameters = EAGER | {"holdMs": hold_ms, "targetBps": "5000", "maxTradesPerDay": 1000}
        return {
            "existingPolicy": {"name": self._policy["metadata"]["name"], "hash": self._policy["spec"]["hash"]},
            "phases": {
                **{name: {"databaseSecretRef": {"name": "titan-database"}} for name in ("brain", "execution")},
                "scavenger": {"parameters": parameters},
            },
            **({"image": image} if image else {}),
        }

    def upgrade(self, chart: str, namespace: str, values: dict[str, Any], *flags: str) -> None:
        """``helm upgrade --install`` with the release file and values of this cluster; until all is ready."""
        name = "quickstart" if chart == "titan-stack" else chart
        file = self.target.folder / f"{chart}.yaml"
        file.write_text(yaml.safe_dump(values))
        release = ("--values", str(self.release.values), "--values", str(file))
        self.target.helm(
            *("upgrade", "--install", name, str(CHARTS / chart), "--namespace", namespace, *release),
            *("--wait", "--timeout", "180s", *flags),
        )

    def _secret(self, namespace: str, name: str, key: str, value: str) -> None:
        # By standard input: arguments are everybody's to read.
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: value}}
        self.target.kubectl("create", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(secret))


def pod_of(image: str, name: str = "probe", **spec: Any) -> dict[str, Any]:
    """A pod that restricted Pod Security takes, and that does nothing."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "containers": [container_of(image)],
            **spec,
        },
    }


def container_of(image: str, name: str = "main") -> dict[str, Any]:
    """Its container."""
    return {
        "name": name,
        "image": image,
        "command": ["true"],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
