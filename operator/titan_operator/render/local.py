"""Pure: render a plan as local processes of one state directory.

Layout below it: ``ca/``, ``plan.json``, and a folder for each process, named by its role. That folder has its
configuration, its certificate (``tls/``) and its state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from titan_operator.planning.plan import Plan, Workload

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class LocalOptions:
    """Places in which a plan runs.

    Attributes
    ----------
    state_dir
        The stack's directory, absolute.
    bin_dir
        Folder of the programs: beside the interpreter.
    working_dir
        Base of relative paths of recordings, absolute.
    ports
        (gRPC, HTTP) by role, where they differ from the topology's: tests run several stacks on one machine.
    """

    state_dir: str
    bin_dir: str
    working_dir: str
    log_format: str = "json"
    log_level: str = "info"
    ports: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class LocalProcess:
    """Process to start: write ``files``, fill ``tls_dir``, then run ``argv`` with ``env``.

    ``files`` maps absolute paths to content; ``env`` holds the process's settings and nothing else; ``depends`` names
    roles that start before it.
    """

    name: str
    role: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    files: Mapping[str, str]
    state_dir: str
    tls_dir: str
    grpc_port: int
    http_port: int
    depends: tuple[str, ...]


def render_local(plan: Plan, options: LocalOptions) -> list[LocalProcess]:
    """Return the processes of ``plan``, in start order."""
    return [_process(workload, plan, options) for workload in plan.workloads]


def plan_document(plan: Plan, options: LocalOptions) -> dict[str, Any]:
    """Return the content of ``plan.json``: the addresses of every role, the policy and the processes; no secret."""
    processes = render_local(plan, options)
    return {
        "policy": {"name": plan.policy_name, "hash": plan.policy_hash, "posture_ceiling": plan.posture_ceiling},
        "mode": plan.mode,
        "source": plan.source,
        "simulated": plan.simulated,
        "addresses": {item.role: f"{LOOPBACK}:{item.grpc_port}" for item in processes if item.grpc_port},
        "http": {item.role: f"http://{LOOPBACK}:{item.http_port}" for item in processes},
        "processes": [
            {
                "name": item.name,
                "role": item.role,
                "argv": list(item.argv),
                "env": dict(item.env),
                "state_dir": item.state_dir,
                "depends": list(item.depends),
            }
            for item in processes
        ],
    }


def _process(workload: Workload, plan: Plan, options: LocalOptions) -> LocalProcess:
    folder = f"{options.state_dir}/{workload.role}"
    grpc_port, http_port = options.ports.get(workload.role, (workload.grpc_port, workload.http_port))
    settings = {
        **workload.settings,
        **workload.live,
        **{name: f"{folder}/{file}" for name, file in workload.file_settings.items()},
        "role": workload.role,
        "grpc_port": str(grpc_port),
        "http_port": str(http_port),
        "bind": LOOPBACK,
        "state_dir": folder,
        "tls_dir": f"{folder}/tls",
        "peers": ",".join(f"{role}={LOOPBACK}:{_grpc_port(plan, role, options)}" for role in workload.peers),
        "log_format": options.log_format,
        "log_level": options.log_level,
    }
    if "files" in settings:
        settings["files"] = ",".join(
            path if path.startswith("/") else f"{options.working_dir}/{path}" for path in settings["files"].split(",")
        )
    program, *arguments = workload.command
    return LocalProcess(
        name=workload.name,
        role=workload.role,
        argv=(f"{options.bin_dir}/{program}", *arguments),
        env={f"TITAN_{name.upper()}": value for name, value in settings.items() if value},
        files={f"{folder}/{file}": content for file, content in workload.files.items()},
        state_dir=folder,
        tls_dir=f"{folder}/tls",
        grpc_port=grpc_port,
        http_port=http_port,
        depends=workload.depends,
    )


def _grpc_port(plan: Plan, role: str, options: LocalOptions) -> int:
    return options.ports.get(role, (plan.workload(role).grpc_port, 0))[0]
