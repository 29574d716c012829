"""Settings of the operator's process: environment variables ``TITAN_…``, as of every process of Titan."""

from __future__ import annotations

from typing import Literal

from titan.runtime.settings import ProcessSettings


class OperatorSettings(ProcessSettings, kw_only=True, frozen=True):
    """Settings of the operator, besides those of every process.

    ``namespaces`` are the stacks that it runs; ``operator_namespace`` is its own, where its Lease and the stacks'
    certificate authorities are; ``pod_name`` and ``pod_uid`` name the Lease's holder. ``resync_s`` is the time for
    which it trusts its watches. ``certificate_lifetime_s`` is that of a process's certificate, renewed at half of it.
    """

    namespaces: list[str]
    operator_namespace: str
    pod_name: str
    pod_uid: str = ""
    resync_s: float = 60.0
    lease_s: float = 15.0
    admission_probe_s: float = 60.0
    # A watch without an event for this time, not even a bookmark, reconnects; the server sends one each minute.
    watch_silence_s: float = 70.0
    # A stack's state is read this often while it trades; a status is still written once a minute only.
    poll_s: float = 5.0
    certificate_lifetime_s: float = 86_400.0
    # Names the accepted signers. The file may appear later and change at any time. Empty: no image is verified.
    trust_policy_file: str = ""
    # Holds NAME.json of each mounted Secret with credentials of registries. Empty: no registry has any.
    registry_credentials_dir: str = ""
    # Accept only policies that a key of the trust policy has signed, and none older than one that was in force.
    require_signed_policies: bool = False
    identity: Literal["mtls", "plain"] = "mtls"
    tls_dir: str = "-"  # per stack, below state_dir

    def __post_init__(self) -> None:
        if not self.namespaces:
            raise ValueError("namespaces: empty; allowed is a list of the stacks' namespaces")
