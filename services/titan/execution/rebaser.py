"""A person's rebase of the peak: checked, journalled and synced before it is acknowledged."""

from __future__ import annotations

from typing import NamedTuple

from titan.domain.enums import Posture
from titan.domain.numbers import format_decimal
from titan.domain.reasons import Reason, Rejection
from titan.domain.rebase import RebaseFacts, rebase_problems
from titan.execution.journalled_account import JournalledAccount
from titan.execution.posture_keeper import PostureKeeper
from titan.execution.reconciler import Reconciler
from titan.execution.valuation import Valuer
from titan.runtime.telemetry.logs import Log
from titan.v1 import execution_pb2 as pb


class RebaseAct(NamedTuple):
    """The act of one person; the nonce makes it one-shot."""

    by: str
    reason: str
    nonce: str


class Rebaser:
    """Serves ``Execution.RebasePeak``. It moves nothing but the peak: neither the day's start nor the floor."""

    def __init__(
        self, store: JournalledAccount, posture: PostureKeeper, valuer: Valuer, reconciler: Reconciler, log: Log
    ) -> None:
        self._store = store
        self._posture = posture
        self._valuer = valuer
        self._reconciler = reconciler
        self._log = log

    def rebase(self, act: RebaseAct) -> pb.RebasePeakResponse:
        """Set the peak to the confirmed equity, or return every reason against it."""
        account = self._store.account
        if act.nonce in account.rebases:
            return _refused(Rejection.of(Reason.NONCE_USED, f"nonce={act.nonce} has rebased the peak before"), ())
        equity = self._valuer.value()
        problems = rebase_problems(
            RebaseFacts(
                latch=Posture(self._posture.latch.posture),
                reconciled=self._reconciler.settled.is_set(),
                equity=equity,
                open_positions=account.closable_positions,
                working_orders=len(account.working),
            )
        )
        if problems:
            return _refused(Rejection.of(Reason.PRECONDITION, "; ".join(problems)), problems)
        before, after = equity.high_water_mark, equity.confirmed_equity
        self._valuer.rebase(after, act.by, act.reason, act.nonce)
        self._log.warning(
            "peak rebased", before=format_decimal(before), now=format_decimal(after), by=act.by, reason=act.reason
        )
        return pb.RebasePeakResponse(
            done=True,
            reason=Reason.OK.value,  # type: ignore[arg-type]
            message=f"the peak is {format_decimal(after)}, it was {format_decimal(before)}",
            high_water_mark_before=format_decimal(before),
            high_water_mark=format_decimal(after),
        )


def _refused(rejection: Rejection, problems: list[str] | tuple[str, ...]) -> pb.RebasePeakResponse:
    return pb.RebasePeakResponse(
        done=False,
        reason=rejection.reason.value,  # type: ignore[arg-type]
        message=rejection.message,
        preconditions=problems,
    )
