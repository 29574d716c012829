"""Pure: names and labels of children: one table for the renderer, the controller, charts and tests."""

from __future__ import annotations

GROUP = "titan.trading"
VERSION = "v1alpha1"
FIELD_MANAGER = "titan-operator"
OPERATOR = "titan-operator"

# On a TitanPhase: removed when its processes may be deleted. On a RiskPolicy: removed when nothing pins it.
FINALIZER = f"{GROUP}/drain"
# On Execution, its volume, keys, policies and the namespace: admission denies their DELETE while it is "true".
PROTECTED = f"{GROUP}/protected"
# On a pod template: image digest, policy hash and configuration in one name. Pods of one revision behave the same.
REVISION = f"{GROUP}/revision"
# On applied objects: the version that rendered them. A difference that a newer renderer makes restarts no pod.
RENDERED_BY = f"{GROUP}/rendered-by"

LABEL_NAME = "app.kubernetes.io/name"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"

# The only VerifiedImages object that admission reads.
VERIFIED_IMAGES = "titan"
# The newest sequence of a signed policy that was in force in a stack.
POLICY_SEQUENCE = "policy-sequence"
PRIORITY_CLASS = "titan-execution"

CONFIG_DIR = "/etc/titan/config"
LIVE_DIR = "/etc/titan/live"
TLS_DIR = "/etc/titan/tls"
DATABASE_DIR = "/etc/titan/database"
STATE_DIR = "/var/lib/titan"
TEMPORARY_DIR = "/tmp"  # noqa: S108 - the pod's own emptyDir

STATE_VOLUME = "state"
# Key of the Secret that a databaseSecretRef names: the URL, with its password.
DATABASE_KEY = "url"
# Key of a Secret of type kubernetes.io/dockerconfigjson that a kubelet reads.
PULL_KEY = ".dockerconfigjson"
# LABEL_NAME of pods that upgrade tables. No Service or Deployment selects them.
MIGRATION = "titan-migration"
# NetworkPolicy of the whole namespace; no TitanPhase has a dot in its name.
DEFAULT_DENY = "titan.default-deny"


def labels(phase: str, role: str) -> dict[str, str]:
    """Return the labels of every child of the TitanPhase ``phase``."""
    return {**selector(phase), LABEL_COMPONENT: role, LABEL_MANAGED_BY: OPERATOR}


def stack_labels() -> dict[str, str]:
    """Return the labels of objects of the whole stack."""
    return {LABEL_NAME: "titan", LABEL_COMPONENT: "stack", LABEL_MANAGED_BY: OPERATOR}


def selector(phase: str) -> dict[str, str]:
    """Return the pod selector of Deployments and Services; it never changes, for it is immutable there."""
    return {LABEL_NAME: "titan", LABEL_INSTANCE: phase}


def policy_config(policy_hash: str) -> str:
    """Name the ConfigMap of a policy's rules by their hash (``sha256:…``)."""
    return f"policy-{policy_hash.removeprefix('sha256:')[:16]}"


def live_config(phase: str) -> str:
    """Name the ConfigMap of the ceiling, which may change without a new pod."""
    return f"{phase}-live"


def tls_secret(phase: str) -> str:
    """Name the Secret with ``ca.pem``, ``cert.pem`` and ``key.pem`` of one role's process."""
    return f"{phase}-tls"


def authority_secret(namespace: str) -> str:
    """Name the Secret in the operator's namespace with the stack's certificate authority, key included."""
    return f"authority-{namespace}"


def migration_job(phase: str, content: str) -> str:
    """Name the Job that upgrades the tables of a phase; another image or another database is another Job."""
    return f"{phase}-migration-{content}"


def migration_selector(phase: str) -> dict[str, str]:
    """Return the pod selector of the NetworkPolicy for the Jobs of a phase."""
    return {LABEL_NAME: MIGRATION, LABEL_INSTANCE: phase}


def migration_labels(phase: str) -> dict[str, str]:
    """Return the labels of the Jobs' pods; a selector of a role's pods matches none of them."""
    return {**migration_selector(phase), LABEL_COMPONENT: "migration", LABEL_MANAGED_BY: OPERATOR}


def volume_claim(phase: str, role: str) -> str:
    """Name the claim of the process's state; Execution's has the name that its StatefulSet gives."""
    return f"{STATE_VOLUME}-{phase}-0" if role == "execution" else f"{phase}-{STATE_VOLUME}"


def verified_record(phase: str) -> str:
    """Name the ConfigMap with the last verified revision's rendered workload, to which a failed roll goes back."""
    return f"{phase}-verified"
