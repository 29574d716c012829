"""The kinds in use, and the paths under which the API server serves them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from titan_operator.api.names import GROUP, VERSION


@dataclass(frozen=True)
class Kind:
    """A kind of object and its path.

    Parameters
    ----------
    name
        The kind, as in a manifest.
    group_version
        ``apiVersion``, as in a manifest.
    plural
        Resource name, as in a path and in RBAC.
    namespaced
        False for kinds of the whole cluster.
    """

    name: str
    group_version: str
    plural: str
    namespaced: bool = True

    def path(self, name: str = "", namespace: str = "", subresource: str = "") -> str:
        """Return the path of one object, or of the collection where ``name`` is empty.

        Raises
        ------
        ValueError
            A namespace for a kind that has none, or one object of a namespaced kind without its namespace.
        """
        if namespace and not self.namespaced:
            raise ValueError(f"namespace: {namespace!r} given for {self.name}, a kind of the whole cluster")
        if name and self.namespaced and not namespace:
            raise ValueError(f"namespace: empty for {self.name} {name!r}, a kind inside namespaces")
        root = "/api" if "/" not in self.group_version else "/apis"
        parts = [root, self.group_version]
        if namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


RISK_POLICY = Kind("RiskPolicy", f"{GROUP}/{VERSION}", "riskpolicies")
TITAN_PHASE = Kind("TitanPhase", f"{GROUP}/{VERSION}", "titanphases")
VERIFIED_IMAGES = Kind("VerifiedImages", f"{GROUP}/{VERSION}", "verifiedimages", namespaced=False)

CONFIG_MAP = Kind("ConfigMap", "v1", "configmaps")
SECRET = Kind("Secret", "v1", "secrets")
SERVICE = Kind("Service", "v1", "services")
SERVICE_ACCOUNT = Kind("ServiceAccount", "v1", "serviceaccounts")
PERSISTENT_VOLUME_CLAIM = Kind("PersistentVolumeClaim", "v1", "persistentvolumeclaims")
POD = Kind("Pod", "v1", "pods")
NAMESPACE = Kind("Namespace", "v1", "namespaces", namespaced=False)

DEPLOYMENT = Kind("Deployment", "apps/v1", "deployments")
STATEFUL_SET = Kind("StatefulSet", "apps/v1", "statefulsets")
JOB = Kind("Job", "batch/v1", "jobs")
NETWORK_POLICY = Kind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies")

EVENT = Kind("Event", "events.k8s.io/v1", "events")
LEASE = Kind("Lease", "coordination.k8s.io/v1", "leases")

VALIDATING_ADMISSION_POLICY = Kind(
    "ValidatingAdmissionPolicy", "admissionregistration.k8s.io/v1", "validatingadmissionpolicies", namespaced=False
)
VALIDATING_ADMISSION_POLICY_BINDING = Kind(
    "ValidatingAdmissionPolicyBinding",
    "admissionregistration.k8s.io/v1",
    "validatingadmissionpolicybindings",
    namespaced=False,
)
# Only ever created, never stored: the API server answers with the requesting user, and with what that user may do.
SELF_SUBJECT_REVIEW = Kind("SelfSubjectReview", "authentication.k8s.io/v1", "selfsubjectreviews", namespaced=False)
SELF_SUBJECT_ACCESS_REVIEW = Kind(
    "SelfSubjectAccessReview", "authorization.k8s.io/v1", "selfsubjectaccessreviews", namespaced=False
)

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        RISK_POLICY,
        TITAN_PHASE,
        VERIFIED_IMAGES,
        CONFIG_MAP,
        SECRET,
        SERVICE,
        SERVICE_ACCOUNT,
        PERSISTENT_VOLUME_CLAIM,
        POD,
        NAMESPACE,
        DEPLOYMENT,
        STATEFUL_SET,
        JOB,
        NETWORK_POLICY,
        EVENT,
        LEASE,
        VALIDATING_ADMISSION_POLICY,
        VALIDATING_ADMISSION_POLICY_BINDING,
        SELF_SUBJECT_REVIEW,
        SELF_SUBJECT_ACCESS_REVIEW,
    )
}
