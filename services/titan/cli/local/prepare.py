"""Preparation of ``titan up``: from files and flags to checked processes, before anything is written."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from titan.cli.errors import BadInput
from titan.cli.local.certificates import Identities
from titan.cli.local.client import ROLE as CLIENT_ROLE
from titan.cli.local.state import State, unwritable

if TYPE_CHECKING:
    from titan_operator.api import Resource
    from titan_operator.planning.plan import Plan
    from titan_operator.render.local import LocalProcess

HIGHEST_PORT = 65_535
# Half of it must leave every process the time to reload its certificate and to reconnect.
SHORTEST_CERTIFICATE_S = 10


@dataclass(frozen=True)
class UpOptions:
    """The flags of ``titan up``."""

    files: tuple[Path, ...]
    market_files: tuple[Path, ...] = ()
    seed: int | None = None
    speed: str | None = None
    duration_s: int | None = None
    port_offset: int = 0
    log_level: str = "info"
    certificate_lifetime_s: int = 86_400


@dataclass(frozen=True)
class Prepared:
    """A plan and its processes, before anything is written to disk."""

    plan: Plan
    processes: tuple[LocalProcess, ...]
    document: dict[str, Any]
    certificate_lifetime_s: int

    @property
    def roles(self) -> list[str]:
        """Every role, in start order."""
        return [process.role for process in self.processes]

    @property
    def phases(self) -> list[str]:
        """Roles that request trades; the market waits for them."""
        from titan_operator.planning.roles import PLANNED_ROLES

        return [role for role in self.roles if PLANNED_ROLES[role].strategy]

    @property
    def before_tables(self) -> list[str]:
        """Roles that start before the tables are upgraded: they have none, and the others need them."""
        from titan_operator.planning.roles import PLANNED_ROLES

        rows = [PLANNED_ROLES[role] for role in self.roles]
        return [row.name for row in rows if not row.has_tables and not row.strategy]


def prepare(options: UpOptions, state: State) -> Prepared:
    """Read, validate and plan, without any change on disk.

    Raises
    ------
    BadInput
        With every problem of the first bad file, or the first problem of the flags or the plan.
    """
    from titan_operator.planning.overrides import OverrideError, Overrides, apply_overrides
    from titan_operator.planning.plan import PlanError, plan
    from titan_operator.render.local import LocalOptions, plan_document, render_local

    for path in options.market_files:
        if not path.is_file():
            raise BadInput(f"--market: {path} is not a file; allowed is a recording, like USDM.gz")
    flags = Overrides(
        tuple(str(path.resolve()) for path in options.market_files), options.seed, options.speed, options.duration_s
    )
    resources = read_resources(options.files)
    _refuse_acts(resources)
    try:
        planned = plan(apply_overrides(resources, flags))
    except (OverrideError, PlanError) as error:
        raise BadInput(str(error)) from error
    local = LocalOptions(
        state_dir=str(state.path.resolve()),
        bin_dir=str(Path(sys.executable).parent),
        working_dir=str(Path.cwd()),
        log_level=options.log_level,
        ports=_moved_ports(planned, options.port_offset),
    )
    if options.certificate_lifetime_s < SHORTEST_CERTIFICATE_S:
        raise BadInput(
            f"--certificate-lifetime: {options.certificate_lifetime_s} is not allowed; "
            f"allowed are {SHORTEST_CERTIFICATE_S} or more seconds"
        )
    return Prepared(
        planned,
        tuple(render_local(planned, local)),
        plan_document(planned, local),
        options.certificate_lifetime_s,
    )


def read_resources(files: Sequence[Path]) -> list[Resource]:
    """Read every resource of the files; of a directory, those of its ``.yaml`` and ``.yml`` files by name.

    Raises
    ------
    BadInput
        When a file cannot be read, or holds anything but valid resources.
    """
    from titan_operator.api import ResourceError, load_resources

    if not files:
        raise BadInput(
            "-f: missing; allowed are files and directories of RiskPolicy and TitanPhase resources, "
            "like -f policies/demo.yaml -f examples/quickstart.yaml"
        )
    resources: list[Resource] = []
    for path in [path for each in files for path in _yaml_files(each)]:
        try:
            resources += load_resources(path.read_bytes().decode("utf-8"), str(path))
        except OSError as error:
            raise BadInput(f"-f: {path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise BadInput(f"-f: {path}: byte {error.start} is not UTF-8") from error
        except ResourceError as error:
            raise BadInput("\n".join(error.problems)) from error
    return resources


def _refuse_acts(resources: Sequence[Resource]) -> None:
    """Refuse acts in files: one may be a halt, and nothing here would carry it out."""
    from titan_operator.api import RiskPolicy

    for resource in resources:
        if isinstance(resource, RiskPolicy) and resource.spec.act is not None:
            raise BadInput(
                f"RiskPolicy {resource.metadata.name}: spec.act: {resource.spec.act.verb} is for the operator of "
                "a cluster, and `titan up` has none; remove it, and use `titan arm`, `titan halt` or `titan flatten`"
            )


def _yaml_files(source: Path) -> list[Path]:
    if not source.is_dir():
        if not source.exists():
            raise BadInput(f"-f: {source} does not exist; allowed are files and directories of resources")
        return [source]
    files = sorted(path for path in source.iterdir() if path.suffix in (".yaml", ".yml") and path.is_file())
    if not files:
        raise BadInput(f"-f: {source} holds no .yaml file; allowed is a directory with one")
    return files


def _moved_ports(planned: Plan, offset: int) -> dict[str, tuple[int, int]]:
    moved = {
        workload.role: (workload.grpc_port and workload.grpc_port + offset, workload.http_port + offset)
        for workload in planned.workloads
    }
    highest = max(port for ports in moved.values() for port in ports)
    if offset < 0 or highest > HIGHEST_PORT:
        allowed = HIGHEST_PORT - (highest - offset)
        raise BadInput(f"--port-offset: {offset} is not allowed; allowed are 0 to {allowed}, like 1000")
    return moved


def check_ports(prepared: Prepared) -> None:
    """Refuse when a port of a process is taken.

    Raises
    ------
    BadInput
        With the port and its use.
    """
    for process in prepared.processes:
        for use, port in (("gRPC", process.grpc_port), ("HTTP", process.http_port)):
            if port and not _is_free(port):
                raise BadInput(
                    f"port {port} ({use} of {process.role}) is in use by another program; "
                    "stop that one, or move this stack with --port-offset"
                )


def check_market(prepared: Prepared) -> None:
    """Refuse a market that marketdata would refuse: its files, and the market that the state directory holds.

    Raises
    ------
    BadInput
        With the sentence of marketdata.
    """
    from titan.marketdata.opening import open_market
    from titan.marketdata.settings import MarketDataSettings
    from titan.runtime.process import StartError
    from titan.runtime.settings import SettingsError, load_settings

    for process in prepared.processes:
        if process.role == "marketdata":
            # Settings need a folder that exists, and this one may be made later.
            env = {**process.env, "TITAN_STATE_DIR": str(Path.cwd())}
            try:
                settings = load_settings(MarketDataSettings, process.argv[1:], env)
                open_market(msgspec.structs.replace(settings, state_dir=process.state_dir), time.time_ns)
            except (SettingsError, StartError) as error:
                raise BadInput(f"marketdata cannot start: {error}") from error


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # A program that ended a moment ago leaves its address in TIME_WAIT; the servers accept such an address too.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def write(prepared: Prepared, state: State) -> Identities:
    """Write folders, certificates, configuration files and ``plan.json`` into the state directory.

    Returns
    -------
    Identities
        The certificates, for replacement while the stack runs.

    Raises
    ------
    BadInput
        When the directory cannot be written, or its certificate authority is damaged.
    """
    from titan.durable.files import write_durably
    from titan.runtime.pki.certificate_files import ensure_ca
    from titan.runtime.pki.certificates import IdentityError

    try:
        folders = {process.role: Path(process.tls_dir) for process in prepared.processes} | {CLIENT_ROLE: state.client}
        lifetime = timedelta(seconds=prepared.certificate_lifetime_s)
        identities = Identities(ensure_ca(state.authority), folders, lifetime)
        for process in prepared.processes:
            Path(process.state_dir).mkdir(exist_ok=True, mode=0o700)
            for path, content in process.files.items():
                write_durably(Path(path), content.encode())
        identities.issue()
        text = json.dumps(prepared.document, indent=2, ensure_ascii=False) + "\n"
        write_durably(state.plan, text.encode())
    except IdentityError as error:
        raise BadInput(str(error)) from error
    except OSError as error:
        raise unwritable(state.path, error) from error
    return identities


async def migrate(folders: dict[str, Path]) -> None:
    """Upgrade the tables of each process (role to its folder) to the schema of this program.

    Raises
    ------
    BadInput
        When a database cannot be upgraded.
    """
    from alembic.util import CommandError as AlembicError
    from sqlalchemy.exc import SQLAlchemyError

    from titan.storage.migrate import upgrade_async
    from titan.storage.schema import Schema, default_url

    for role in get_args(Schema):
        if role not in folders:
            continue
        try:
            await upgrade_async(default_url(str(folders[role]), role), role)
        except (SQLAlchemyError, AlembicError, OSError) as error:
            raise BadInput(
                f"database of {role} in {folders[role]}: cannot be upgraded ({_database_cause(error)}); "
                "check that the disk has space and that no other program holds the file"
            ) from error


def _database_cause(error: Exception) -> str:
    """Reduce an error to the database's own words, without the statement that SQLAlchemy adds."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(getattr(error, "orig", None) or error).splitlines()[0]
