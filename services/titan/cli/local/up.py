"""``titan up``: one local stack, from its resources to its stop."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from titan.cli.errors import DONE, REFUSED, BadInput, CommandError, Refused
from titan.cli.local.arming import FirstArming, NeverArmedError
from titan.cli.local.certificates import Identities
from titan.cli.local.client import StackClient
from titan.cli.local.prepare import Prepared, UpOptions, check_market, check_ports, migrate, prepare, write
from titan.cli.local.processes import Supervised, Supervisor
from titan.cli.local.results import collect_totals, print_totals, wait_for_end
from titan.cli.local.state import State
from titan.cli.local.status import read_snapshot
from titan.cli.local.view import View, choose_view
from titan.cli.output import Output

READY_S = 60.0
# One stop may arrive as two signals: `timeout` signals the program and its group. A person needs longer than this.
SAME_SIGNAL_S = 0.3
_SNAPSHOT_EVERY_S = 1.0


@dataclass(frozen=True)
class RunOptions:
    """Options of ``titan up`` beyond running the stack."""

    arm: bool = False
    until_end: bool = False
    output: Output = Output.TABLE


def up(options: UpOptions, run: RunOptions, state: State) -> int:
    """Run a stack in the foreground and return the exit code; a degraded run ends with that of a failed check.

    Raises
    ------
    BadInput
        Before anything is started, or when a process cannot start with its settings.
    Refused
        When the end of the market cannot be reached.
    """
    if run.output is not Output.TABLE and not run.until_end:
        raise BadInput(f"-o: {run.output} needs --until-end: only a run that ends has a result")
    state.refuse_second()
    prepared = prepare(options, state)
    if run.arm and prepared.plan.mode != "paper":
        raise BadInput(f"--arm: mode is {prepared.plan.mode}; allowed is paper (`titan arm` arms a live stack)")
    check_ports(prepared)
    check_market(prepared)
    with state.hold():
        identities = write(prepared, state)
        return asyncio.run(_Run(prepared, run, state, identities).run())


class _Run:
    def __init__(self, prepared: Prepared, options: RunOptions, state: State, identities: Identities) -> None:
        self._prepared = prepared
        self._options = options
        self._state = state
        self._identities = identities
        processes = [
            Supervised(
                name=process.role,
                argv=process.argv,
                env=process.env,
                log=state.log(process.role),
                url=prepared.document["http"][process.role],
            )
            for process in prepared.processes
        ]
        self._supervisor = Supervisor(processes, self._changed)
        self._client = StackClient(state, prepared.document["addresses"])
        self._view: View = choose_view(self._title(), self._supervisor.processes)
        self._stop = asyncio.Event()
        self._stopped_s = 0.0
        self._result: dict[str, Any] | None = None

    def _title(self) -> str:
        plan = self._prepared.plan
        market = "SIMULATED MARKET" if plan.simulated else plan.source.upper()
        return f"titan: {market}, {plan.mode}, policy {plan.policy_name}, {self._address()}"

    def _address(self) -> str:
        return f"{self._prepared.document['http']['brain']}/status"

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signaled)
        with self._view:
            self._view.report(self._title())
            for gap in self._prepared.plan.policy_gaps:
                self._view.report(f"not enforced: {gap}")
            work = asyncio.ensure_future(self._work())
            stop = asyncio.ensure_future(self._stop.wait())
            certificates = asyncio.ensure_future(self._identities.keep(self._view.report))
            parts = (work, stop, certificates)
            try:
                await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for part in parts:
                    part.cancel()
                await asyncio.wait(parts)
                self._view.report("stopping")
                await self._stop_all()
        for part in (work, certificates):
            if not part.cancelled() and (error := part.exception()) is not None:
                raise error
        if self._result is not None:
            print_totals(self._result, self._options.output)
            if self._result["degraded"]:
                return REFUSED
        elif self._options.until_end:
            raise Refused("stopped before the market ended")
        return DONE

    def _signaled(self) -> None:
        now_s = time.monotonic()
        if not self._stop.is_set():
            self._stopped_s = now_s
            self._stop.set()
        elif now_s - self._stopped_s > SAME_SIGNAL_S:
            self._supervisor.kill()

    async def _stop_all(self) -> None:
        # Stop in reverse order of the order path: phases first, the venue last.
        phases = self._prepared.phases
        others = [role for role in reversed(self._prepared.roles) if role not in phases]
        await self._supervisor.stop([*phases, *others])
        await self._client.close()

    async def _work(self) -> None:
        await self._start()
        pictures = asyncio.ensure_future(self._show_snapshots())
        try:
            if self._options.until_end:
                await self._until_end()
            else:
                await self._for_ever()
        finally:
            pictures.cancel()
            await asyncio.wait([pictures])

    async def _start(self) -> None:
        supervisor, prepared = self._supervisor, self._prepared
        with_tables = {process.role: Path(process.state_dir) for process in prepared.processes}
        first = prepared.before_tables
        second = [role for role in prepared.roles if role not in (*first, *prepared.phases)]
        supervisor.start(first)
        await migrate(with_tables)
        supervisor.start(second)
        if self._options.arm:
            # The market waits for the phases. A stack that is armed before they start is armed for the whole market.
            await self._arm()
        supervisor.start(prepared.phases)
        until_end = self._options.until_end
        ready = await supervisor.wait_ready(prepared.roles, READY_S, until_hopeless=until_end)
        self._raise_if_failed()
        if until_end:
            self._raise_if_hopeless()
        if ready:
            self._view.report(f"ready: {self._address()}")
        else:
            late = [
                f"{one.name} ({one.note or one.state})" for one in supervisor.processes.values() if not one.was_ready
            ]
            self._view.report(f"not ready after {READY_S:g} s: {', '.join(late)}")

    def _raise_if_failed(self) -> None:
        for process in self._supervisor.failed:
            raise BadInput(f"{process.name} cannot start: {process.note}")
        if (broken := self._supervisor.broken) is not None:
            raise broken

    def _raise_if_hopeless(self) -> None:
        for process in self._supervisor.hopeless:
            raise Refused(f"{process.name} fails again and again: {process.note.partition('; again in ')[0]}")

    async def _arm(self) -> None:
        arming = FirstArming(self._client, self._prepared.plan.policy_name)
        try:
            self._view.report(await arming.run(self._next_change, self._view.report))
        except NeverArmedError as error:
            if self._options.until_end:
                # Its totals would be those of a market that nobody traded.
                raise Refused(f"never armed: {error}") from error
            self._view.report(f'Not armed: {error}. Run "titan arm" when that has changed.')

    async def _next_change(self) -> None:
        self._raise_if_failed()
        if self._options.until_end:
            self._raise_if_hopeless()
        await self._supervisor.next_change()

    async def _for_ever(self) -> None:
        while True:
            await self._supervisor.next_change()
            if (broken := self._supervisor.broken) is not None:
                raise broken

    async def _until_end(self) -> None:
        end = asyncio.ensure_future(wait_for_end(self._client))
        try:
            while not end.done():
                change = self._supervisor.next_change()
                await asyncio.wait((end, change), return_when=asyncio.FIRST_COMPLETED)
                change.cancel()
                self._raise_if_failed()
                self._raise_if_hopeless()
        finally:
            end.cancel()
        self._result = await collect_totals(self._client, end.result())
        for clause in self._result["degraded"]:
            self._view.report(f"degraded: {clause}")

    async def _show_snapshots(self) -> None:
        http = self._prepared.document["http"]
        while True:
            try:
                self._view.snapshot(await read_snapshot(self._client, http))
            except CommandError as error:
                self._view.report(str(error))
            await asyncio.sleep(_SNAPSHOT_EVERY_S)

    def _changed(self, process: Supervised) -> None:
        self._view.process(process)
        document = {"processes": [one.document() for one in self._supervisor.processes.values()]}
        temporary = self._state.processes.with_name(".processes.json")
        try:
            temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
            temporary.replace(self._state.processes)
        except OSError as error:
            # Only the view of other terminals becomes old. A full disk must not end a stack that holds positions.
            self._view.report(f"{self._state.processes} cannot be written: {error.strerror}")
