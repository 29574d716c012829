"""Pure: a Job upgrades the tables in a database before the image starts that needs them."""

from __future__ import annotations

from collections.abc import Sequence

from titan_operator.reconcile.effects import Finding, Outcome, PhaseState
from titan_operator.reconcile.observed import Observed, ObservedResource
from titan_operator.reconcile.rollout import Roll, revision_of
from titan_operator.render.kubernetes import Child
from titan_operator.render.kubernetes.pods import MIGRATION

_FEW = 10


def tables_migrated(resource: ObservedResource, children: Sequence[Child], observed: Observed) -> Finding:
    """Report whether the tables of a phase are upgraded to its image."""
    job = next((child for child in children if child.kind == "Job" and child.phase == resource.name), None)
    return _by_pod(resource, observed) if job is None else _by_job(job.name, observed)


def hold_for_tables(resource: ObservedResource, child: Child, observed: Observed, tables: Finding) -> Roll | None:
    """Keep a workload as it is until its tables are upgraded; None where they are.

    The running process goes on: a migration that fails or waits stops nothing.
    """
    live = observed.children.get((child.kind, child.name))
    running = "" if live is None else revision_of(live)
    if tables.holds is True or running == revision_of(child.manifest):
        return None
    goes_on = f"; revision {running} goes on" if running else ""
    outcome = Outcome(
        ready=False,
        reason="StorageMigrated",
        message=tables.message + goes_on,
        state=PhaseState.PENDING if tables.holds is None else PhaseState.FAILED,
        stalled=tables.holds is False,
        reconciling=tables.holds is None,
        current=running,
        last_verified=str((resource.status.get("revision") or {}).get("lastVerified", "")),
        failed=str((resource.status.get("revision") or {}).get("failed", "")),
    )
    return Roll((), outcome)


def tables_written(role: str, observed: Observed) -> Finding:
    """Report whether the running process can write its tables, by its own report. Only readers wait for them."""
    view = observed.stack.execution if role == "execution" else observed.stack.brain
    if view is None:
        return Finding(None, "NotTold", observed.stack.problems.get(role, f"{role} does not run yet"))
    if not view.database_problem:
        return Finding(True, "Written", "the tables are written as it goes")
    message = f"{view.database_problem}; {_about(view.rows_waiting)} wait for it"
    return Finding(False, "DatabaseAway", message)


def _about(count: int) -> str:
    """Round a count: otherwise every pass would write the status."""
    if count < _FEW:
        return f"fewer than {_FEW} rows"
    return f"{10 ** (len(str(count)) - 1):,} rows or more"


def _by_pod(resource: ObservedResource, observed: Observed) -> Finding:
    done = [pod.first_done(MIGRATION) for pod in observed.pods_of(resource.name) if not pod.deleting]
    answer = next((answer for answer in done if answer is not None), None)
    reported = {
        True: "the tables are as this image knows them",
        False: f"container {MIGRATION} has failed: its log says why",
        None: "the tables are being upgraded",
    }[answer]
    return Finding(answer, "Migrated" if answer else "NotMigrated", reported)


def _by_job(name: str, observed: Observed) -> Finding:
    job = observed.children.get(("Job", name))
    if job is None:
        return Finding(None, "NotMigrated", f"Job {name} is about to upgrade the tables")
    status = job.get("status") or {}
    states = {item["type"] for item in status.get("conditions") or () if item["status"] == "True"}
    if "Complete" in states:
        return Finding(True, "Migrated", f"Job {name} has upgraded the tables")
    if "Failed" in states:
        return Finding(False, "NotMigrated", f"Job {name} has failed: its log says why; delete it to try again")
    tries = status.get("failed", 0)
    failed = f", {tries} tries failed" if tries else ""
    return Finding(None, "NotMigrated", f"Job {name} upgrades the tables{failed}: its log says what it waits for")
