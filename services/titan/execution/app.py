"""Composition root of Execution: waits for the lease, then recovers, reconciles and trades; one writer at a time."""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path

import grpc

from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.policy import mode_problem, untradable_symbols
from titan.domain.policy_hash import Policy
from titan.durable.journal.journal import JournalCorrupt, JournalUnavailable
from titan.durable.lease import Lease, LeaseState, LeaseTimes, LeaseUnavailable
from titan.durable.lease_files import open_lease
from titan.execution.brain_session import PlaceStream
from titan.execution.session import TradingSession
from titan.execution.settings import RENEWALS_PART, ExecutionSettings, check_settings
from titan.runtime.policy_file import load_policy
from titan.runtime.process import ServiceApp, StartError, run
from titan.runtime.rpc.contract import EXECUTION_PLACE
from titan.runtime.rpc.errors import RpcRefused
from titan.runtime.rpc.server import RpcServer
from titan.storage.schema import default_url, make_engine

SECOND_NS = 1_000_000_000


class ExecutionApp(ServiceApp[ExecutionSettings]):
    """The only process that holds venue keys and sends orders.

    Attributes
    ----------
    trader
        What trades; None until the lease is held and the journal recovered.
    """

    SETTINGS = ExecutionSettings

    def __init__(self, settings: ExecutionSettings) -> None:
        super().__init__(settings)
        check_settings(settings)
        self.policy = _policy(settings)
        self.session: TradingSession | None = None
        self.server = RpcServer(settings, self.metrics, self.log)
        self._lease: Lease | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._held = self.metrics.gauge("titan_lease_held", "1 while this process is the one writer.")

    async def start(self) -> None:
        """Begin to become the writer. Where the lease is free, everything trades when this returns."""
        try:
            self._lease = open_lease(Path(self.settings.state_dir) / "lease", _times(self.settings))
            wait_ns = self._lease.acquire_step()
        except LeaseUnavailable as error:
            raise StartError(error.reason) from error
        if wait_ns == 0:
            await self._begin(self._lease)
        else:
            self.log.warning("another Execution has the lease", wait_s=round(wait_ns / SECOND_NS, 1))
        self._keeping = asyncio.get_running_loop().create_task(self._keep(self._lease, wait_ns), name="lease")
        self._keeping.add_done_callback(self._keeping_ended)

    async def stop(self) -> None:
        """Stop trading, then give the lease up."""
        if self.session is not None:
            self.session.intake.closing = True
        await self.server.stop()
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        settled = True
        if self.session is not None:
            await self.session.stop()
            settled = self.session.answered
        if self._lease is not None:
            self._lease.release(settled=settled)

    def not_ready(self) -> list[str]:
        """Why Execution does not trade."""
        if self.session is None:
            state = self._lease.state.value if self._lease is not None else "not asked for"
            return [f"the lease of the one writer is not held yet ({state})"]
        reasons = self.session.not_ready()
        if not self.session.sender.may_send():
            reasons.append("the lease does not cover a request now")
        return reasons

    def status(self) -> dict[str, object]:
        """What ``/status`` shows."""
        session = self.session
        if session is None:
            return {"role": self.settings.role, "policy_hash": self.policy.hash, "trading": False}
        equity, truth, tables = session.valuer.equity, session.reconciler.truth, session.projector
        durations = sorted(duration for _, duration in session.intake.durations_ns)
        return {
            "role": self.settings.role,
            "policy_hash": self.policy.hash,
            "market": session.feed.label,
            "market_time_ns": session.now_ns,
            "posture": {
                "in_force": session.posture.in_force.name,
                "latch": session.posture.latch.posture.name,
                "why": session.posture.why(),
            },
            "lease": {"term": session.lease.term, "held": session.sender.may_send(), "problem": session.lease.problem},
            "truth": {"known": truth.known, "score": truth.score if truth.known else None, "passes": truth.passes},
            "venue_connected": session.venue.connected,
            "brain_connected": session.brain.connected,
            "orders": session.queries.counts(),
            "equity": str(equity.equity) if equity.known else None,
            "equity_unknown_because": equity.reason or None,
            "ledger_balanced": session.store.account.ledger.balanced,
            "journal": {
                "sequence": session.store.journal.last_sequence,
                "synced": session.store.journal.synced_sequence,
                "syncs": session.store.journal.syncs,
                "problem": session.store.journal.failed or session.store.journal.space_problem,
            },
            "tables": {
                "lag": tables.lag,
                "problem": tables.problem.said if tables.problem else "",
            },
            "place_ns": {
                "count": len(durations),
                "p50": int(statistics.median(durations)) if durations else None,
                "p99": durations[int(0.99 * (len(durations) - 1))] if durations else None,
            },
        }

    async def _begin(self, lease: Lease) -> None:
        url = self.settings.database_url or default_url(self.settings.state_dir, "execution")
        database = make_engine(url, "execution")
        try:
            session = TradingSession(self.settings, self.policy, lease, database, self.metrics, self.log, self.fail)
        except JournalUnavailable as error:
            raise StartError(error.reason) from error
        except JournalCorrupt as error:
            raise StartError(str(error)) from error
        self.session = session
        self.server.stream(EXECUTION_PLACE, self._place)
        session.queries.serve(self.server)
        session.start()
        await self.server.start()

    async def _place(self, stream: PlaceStream) -> None:
        assert self.session is not None
        try:
            await self.session.brain.serve(stream)
        except RpcRefused:
            raise
        except Exception as error:
            # Half an order path is none: the process ends, and its successor recovers from the journal.
            self.session.broken(str(error))
            await stream.flush()
            raise RpcRefused(grpc.StatusCode.UNAVAILABLE, f"execution ends: {error}") from error

    async def _keep(self, lease: Lease, wait_ns: int) -> None:
        while lease.state is not LeaseState.HELD:
            await asyncio.sleep(min(wait_ns, lease.times.renew_ns) / SECOND_NS)
            wait_ns = lease.acquire_step()
        if self.session is None:
            await self._begin(lease)
        self._held.set(1)
        while True:
            await asyncio.sleep(lease.times.renew_ns / SECOND_NS)
            state = lease.renew()
            if state is not LeaseState.HELD:
                self._held.set(0)
                self.fail(lease.problem or f"lease of term {lease.term} is {state.value}")
                return
            if lease.problem and self.session is not None:
                self.session.lease_in_danger(lease.problem)

    def _keeping_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(str(error))


def _policy(settings: ExecutionSettings) -> Policy:
    """Read the rules that are enforced, and check that this Execution can trade under them.

    Raises
    ------
    StartError
        One sentence: the file and the first problem with it.
    """
    policy = load_policy(settings.policy_file)
    problems = untradable_symbols(policy.rules, PAPER_INSTRUMENTS)
    if problem := mode_problem(policy.rules, settings.mode):
        problems.append(problem)
    if problems:
        raise StartError(f"policy_file: {settings.policy_file!r}: {problems[0]}")
    return policy


def _times(settings: ExecutionSettings) -> LeaseTimes:
    duration_ns = int(settings.lease_s * SECOND_NS)
    return LeaseTimes(
        duration_ns=duration_ns,
        receive_window_ns=settings.receive_window_ms * 1_000_000,
        skew_ns=settings.clock_skew_ms * 1_000_000,
        renew_ns=int(duration_ns * RENEWALS_PART),
    )


def main() -> None:
    """Run the process."""
    run(ExecutionApp)


if __name__ == "__main__":
    main()
