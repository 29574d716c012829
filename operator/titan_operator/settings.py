"""Settings of the operator's process: environment variables ``TITAN_…``, as every process of Titan has them."""

from __future__ import annotations

from typing import Literal

from titan.runtime.settings import ProcessSettings


class OperatorSettings(ProcessSettings, kw_only=True, frozen=True):
    """What the operator needs beside what every process needs.

    ``namespaces`` are the stacks that it runs; ``operator_namespace`` is its own, where its Lease and the stacks'
    certificate authorities are; ``pod_name`` and ``pod_uid`` say who holds the Lease. ``resync_s`` is how long it
    trusts its watches, ``certificate_lifetime_s`` how long a process's certificate lasts (renewed at half of it).
    """

    namespaces: list[str]
    operator_namespace: str
    pod_name: str
    pod_uid: str = ""
    resync_s: float = 60.0
    lease_s: float = 15.0
    canary_s: float = 60.0
    # A watch that says nothing for so long, not even a bookmark, connects anew; the server sends one each minute.
    watch_silence_s: float = 70.0
    # One stack's state is asked for this often while it trades; a status is still written once a minute only.
    poll_s: float = 5.0
    certificate_lifetime_s: float = 86_400.0
    # Whose signatures count; it may come later and change at any time. Empty: nothing is verified.
    trust_policy_file: str = ""
    # NAME.json of the mounted Secrets with registries' credentials; empty: none has any.
    registry_credentials_dir: str = ""
    # Only a policy that a key of the trust policy has signed, and none older than one that was in force.
    require_signed_policies: bool = False
    identity: Literal["mtls", "plain"] = "mtls"
    tls_dir: str = "-"  # per stack, below state_dir

    def __post_init__(self) -> None:
        if not self.namespaces:
            raise ValueError("namespaces: empty; allowed is a list of the stacks' namespaces")
