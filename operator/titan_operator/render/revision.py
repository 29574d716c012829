"""Pure: name a workload's behavior. Two processes of one revision behave alike, wherever they run."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from titan_operator.planning.plan import POLICY_FILE, Plan, Workload

_DIGITS = 10


def revision(workload: Workload, plan: Plan) -> str:
    """Name image, policy and configuration of a workload, as ten hexadecimal digits.

    Live settings, addresses, folders and the style of a renderer are no part of it. Neither is the policy of a workload
    that enforces none. The names of its peers are part of it: under other names it would not find them.
    """
    return content_name(
        {
            "image": workload.image,
            "command": workload.command,
            "role": workload.role,
            "policy": plan.policy_hash if POLICY_FILE in workload.files else "",
            "settings": dict(workload.settings),
            "files": {name: _meaning(name, content) for name, content in workload.files.items() if name != POLICY_FILE},
            "fileSettings": dict(workload.file_settings),
            "live": sorted(workload.live),
            "ports": [workload.grpc_port, workload.http_port],
            "peers": {role: [plan.workload(role).name, plan.workload(role).grpc_port] for role in workload.peers},
            "resources": {section: dict(amounts) for section, amounts in workload.resources.items()},
            # Left out where empty: otherwise revisions named before these fields existed would change.
            **({"database": workload.database} if workload.database else {}),
            **({"pullSecrets": list(workload.pull_secrets)} if workload.pull_secrets else {}),
        }
    )


def content_name(content: Any) -> str:
    """Name a JSON value by ten hexadecimal digits."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _meaning(name: str, content: str) -> Any:
    # Two spellings of one JSON value mean the same.
    return json.loads(content) if name.endswith(".json") else content
