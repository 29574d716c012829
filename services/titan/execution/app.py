"""Composition root of Execution: the lease first, then recovery, reconciliation and trading; one writer at a time."""

from __future__ import annotations

from pathlib import Path

from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.policy import mode_problem, untradable_symbols
from titan.domain.policy_hash import Policy
from titan.durable.journal.journal import JournalCorrupt, JournalUnavailable
from titan.durable.lease import LeaseUnavailable
from titan.durable.lease_files import open_lease
from titan.execution.lease_keeper import LeaseKeeper
from titan.execution.session import TradingSession
from titan.execution.settings import ExecutionSettings, check_settings
from titan.execution.status import session_status
from titan.runtime.policy_file import load_policy
from titan.runtime.process import ServiceApp, StartError, run
from titan.runtime.rpc.contract import EXECUTION_PLACE
from titan.runtime.rpc.server import RpcServer
from titan.storage.schema import default_url, make_engine


class ExecutionApp(ServiceApp[ExecutionSettings]):
    """The only process that holds venue keys and sends orders.

    Attributes
    ----------
    session
        All parts that trade; None until the lease is held and the journal recovered.
    """

    SETTINGS = ExecutionSettings

    def __init__(self, settings: ExecutionSettings) -> None:
        super().__init__(settings)
        check_settings(settings)
        self.policy = _policy(settings)
        self.session: TradingSession | None = None
        self.server = RpcServer(settings, self.metrics, self.log)
        self._keeper: LeaseKeeper | None = None

    async def start(self) -> None:
        """Begin to acquire the lease. Where it is free, Execution trades when this returns."""
        try:
            lease = open_lease(Path(self.settings.state_dir) / "lease", self.settings.lease_times)
        except LeaseUnavailable as error:
            raise StartError(error.reason) from error
        self._keeper = LeaseKeeper(lease, self._begin, self._lease_endangered, self.fail, self.metrics, self.log)
        await self._keeper.start()

    async def stop(self) -> None:
        """Stop trading, then release the lease."""
        if self.session is not None:
            self.session.intake.closing = True
        await self.server.stop()
        if self._keeper is not None:
            await self._keeper.stop()
        settled = True
        if self.session is not None:
            await self.session.stop()
            settled = self.session.answered
        if self._keeper is not None:
            self._keeper.lease.release(settled=settled)

    def not_ready(self) -> list[str]:
        """Return the reasons for which Execution does not trade."""
        if self.session is None:
            state = self._keeper.lease.state.value if self._keeper is not None else "not requested"
            return [f"the lease of the one writer is not held yet ({state})"]
        reasons = self.session.not_ready()
        if not self.session.sender.may_send():
            reasons.append("the lease does not cover a request now")
        return reasons

    def status(self) -> dict[str, object]:
        """Return the document that ``/status`` shows."""
        identity: dict[str, object] = {"role": self.settings.role, "policy_hash": self.policy.hash}
        if self.session is None:
            return {**identity, "trading": False}
        return {**identity, **session_status(self.session)}

    async def _begin(self) -> None:
        assert self._keeper is not None
        url = self.settings.database_url or default_url(self.settings.state_dir, "execution")
        database = make_engine(url, "execution")
        lease = self._keeper.lease
        try:
            session = TradingSession(self.settings, self.policy, lease, database, self.metrics, self.log, self.fail)
        except JournalUnavailable as error:
            raise StartError(error.reason) from error
        except JournalCorrupt as error:
            raise StartError(str(error)) from error
        self.session = session
        self.server.stream(EXECUTION_PLACE, session.brain.serve)
        session.queries.serve(self.server)
        session.start()
        await self.server.start()

    def _lease_endangered(self, problem: str) -> None:
        if self.session is not None:
            self.session.lease_endangered(problem)


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


def main() -> None:
    """Run the process."""
    run(ExecutionApp)


if __name__ == "__main__":
    main()
