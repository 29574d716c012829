"""Pure: the table of roles that TitanPhases describe, with all that planning needs of each.

Name, ports and callers stand in :mod:`titan.runtime.topology`, which the services read too. This table adds the rest.
Both are compared at import: a role that stands in one of them only ends the program, with its name.

To add a role:

1. ``titan.runtime.topology``: a row in ``ROLES``, its callers in ``CALLERS``, and a place in ``PHASES`` for a strategy.
2. ``PLANNED_ROLES`` here: a row. A role that the topology reserved leaves ``RESERVED``.
3. :mod:`titan_operator.api.resources`: its spec model, a member of ``Spec``, from which the role's name is read.

Start order, roll order, gates, certificates, pods, database upgrades and ``titan up`` follow from the rows. Settings
that only the new process has are written in :mod:`titan_operator.planning.plan`. The chart titan-stack names the roles
once more, in its schema and its template: a test compares them with this table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from titan.domain.policy_rules import MODES
from titan.runtime import topology
from titan_operator.api.resources import ROLES as SPEC_ROLES

_MODES = tuple(MODES)


@dataclass(frozen=True)
class PlannedRole:
    """One role, as planning and rendering need it.

    Attributes
    ----------
    start_rank
        Roles start from the lowest rank up. Each needs roles of lower rank to become ready, none to start.
    roll_rank
        Roles roll from the lowest rank up, one at a time.
    required_in
        Modes in which a stack is incomplete without this role.
    binds_policy
        Whether its process enforces the policy, and its resource pins one.
    has_tables
        Whether it keeps tables, which are upgraded before it starts.
    cpu
        Request of processor time. There is no limit: throttling stalls an order for a tenth of a second, and the
        requests share fairly under load.
    memory
        Request and limit at once, so that a stack that fits stays fitting.
    grace_s
        Time that its process may take to stop, in seconds.
    """

    name: str
    start_rank: int
    roll_rank: int
    required_in: tuple[str, ...]
    binds_policy: bool
    has_tables: bool
    cpu: str
    memory: str
    grace_s: int

    @property
    def strategy(self) -> bool:
        """Whether it decides what to trade."""
        return self.name in topology.PHASES

    @property
    def subscribes_to_market(self) -> bool:
        """Whether a step of market time waits for it."""
        return "marketdata" in topology.peers_of(self.name)


# Execution rolls before all: nothing else may roll while its state is in doubt. What trades comes next.
# 1.4 GiB in all. The rest of 4 GB is the system's and k3s' (1.2 GiB), the operator's, PostgreSQL's and NATS'.
PLANNED_ROLES: Mapping[str, PlannedRole] = {
    role.name: role
    for role in (
        PlannedRole(
            "marketdata",
            start_rank=0,
            roll_rank=3,
            required_in=_MODES,
            binds_policy=False,
            has_tables=False,
            cpu="100m",
            memory="256Mi",
            grace_s=15,
        ),
        # Required in every mode as long as there is no other venue: gate LiveApproved refuses live trading by name.
        PlannedRole(
            "papervenue",
            start_rank=1,
            roll_rank=4,
            required_in=_MODES,
            binds_policy=False,
            has_tables=False,
            cpu="50m",
            memory="192Mi",
            grace_s=15,
        ),
        PlannedRole(
            "execution",
            start_rank=2,
            roll_rank=0,
            required_in=_MODES,
            binds_policy=True,
            has_tables=True,
            cpu="200m",
            memory="384Mi",
            grace_s=60,
        ),
        PlannedRole(
            "brain",
            start_rank=3,
            roll_rank=1,
            required_in=_MODES,
            binds_policy=True,
            has_tables=True,
            cpu="200m",
            memory="384Mi",
            grace_s=30,
        ),
        # A stack needs one strategy, whichever it is: gate RolesComplete counts them, not their names.
        PlannedRole(
            "scavenger",
            start_rank=4,
            roll_rank=2,
            required_in=(),
            binds_policy=True,
            has_tables=False,
            cpu="50m",
            memory="192Mi",
            grace_s=15,
        ),
    )
}

# Roles of the topology whose ports are promised, and which no TitanPhase describes yet.
RESERVED = frozenset({"hunter", "sentinel"})


def role_mismatches(planned: Iterable[str], served: Iterable[str], described: Iterable[str]) -> list[str]:
    """List the roles that stand in one table and not in another.

    Parameters
    ----------
    planned
        Roles of ``PLANNED_ROLES``.
    served
        Roles of the topology that are processes.
    described
        Roles that a TitanPhase may have.

    Returns
    -------
    list
        One sentence for each role; empty where the tables agree.
    """
    rows, processes, models = set(planned), set(served), set(described)
    problems = [
        *(f"role {role}: no row in PLANNED_ROLES; allowed is one of each" for role in (processes - RESERVED) - rows),
        *(f"role {role}: no row in the topology; allowed is one of each" for role in (rows | RESERVED) - processes),
        *(f"role {role}: no spec model in the API; allowed is one of each" for role in rows - models),
        *(f"role {role}: a spec model without a row in PLANNED_ROLES" for role in models - rows),
        *(f"role {role}: planned and reserved; allowed is one of both" for role in rows & RESERVED),
    ]
    return sorted(problems)


START_ORDER = tuple(sorted(PLANNED_ROLES, key=lambda name: PLANNED_ROLES[name].start_rank))
ROLL_ORDER = tuple(sorted(PLANNED_ROLES, key=lambda name: PLANNED_ROLES[name].roll_rank))

if _problems := role_mismatches(
    PLANNED_ROLES, [name for name, role in topology.ROLES.items() if role.http_port], SPEC_ROLES
):
    raise ImportError("; ".join(_problems))
