"""Settings of the execution process."""

from __future__ import annotations

from typing import Literal

from titan.domain.time import NS_PER_MS, NS_PER_S
from titan.durable.lease import LeaseTimes
from titan.runtime.process import StartError
from titan.runtime.settings import ProcessSettings
from titan.storage.schema import BadDatabaseUrlError, read_url

# A lease is renewed each fifth of its length.
_RENEWALS_PART = 0.2
# A day in milliseconds: no time of Execution is longer, and an infinite one would switch its check off.
_GREATEST = 86_400_000


class ExecutionSettings(ProcessSettings, kw_only=True, frozen=True):
    """Settings by which Execution trades and checks itself.

    The venue refuses a signed request after ``receive_window_ms``, and its clock may differ from ours by
    ``clock_skew_ms``; an order that is absent there after both is lost. ``lease_s`` is the lease's length. A Brain
    silent for ``brain_silence_s`` means CLOSE_ONLY. ``reconcile_interval_s`` is the pause between passes. All these run
    on the machine's clock; ``stop_deadline_ms`` and ``mark_max_age_ms`` run on the market clock. ``margin_leverage`` is
    the venue's margin setting; the policy may name a lower one. An empty ``database_url`` is a SQLite file in
    ``state_dir``.
    """

    mode: Literal["paper"] = "paper"
    receive_window_ms: int = 1_000
    clock_skew_ms: int = 250
    lease_s: float = 5.0
    brain_silence_s: float = 5.0
    reconcile_interval_s: float = 60.0
    stop_deadline_ms: int = 2_000
    mark_max_age_ms: int = 10_000
    margin_leverage: int = 20
    database_url: str = ""

    @property
    def absence_ns(self) -> int:
        """Nanoseconds after which a signed request can no longer arrive at the venue."""
        return (self.receive_window_ms + self.clock_skew_ms) * NS_PER_MS

    @property
    def lease_times(self) -> LeaseTimes:
        """The times of the lease, in ns."""
        duration_ns = int(self.lease_s * NS_PER_S)
        return LeaseTimes(
            duration_ns=duration_ns,
            receive_window_ns=self.receive_window_ms * NS_PER_MS,
            skew_ns=self.clock_skew_ms * NS_PER_MS,
            renew_ns=int(duration_ns * _RENEWALS_PART),
        )


def check_settings(settings: ExecutionSettings) -> None:
    """Check the settings.

    Raises
    ------
    StartError
        One sentence: the field, its value and what is allowed.
    """
    if settings.database_url:
        try:
            read_url(settings.database_url)
        except BadDatabaseUrlError as error:
            raise StartError(str(error)) from error
    for field, least in (
        ("receive_window_ms", 1),
        ("clock_skew_ms", 0),
        ("lease_s", 0.5),
        ("brain_silence_s", 1.5),
        ("reconcile_interval_s", 0.1),
        ("stop_deadline_ms", 1),
        ("mark_max_age_ms", 1),
        ("margin_leverage", 1),
    ):
        value = getattr(settings, field)
        if not least <= value <= _GREATEST:
            raise StartError(f"{field}: {value} is not allowed; allowed are numbers from {least} to {_GREATEST}")
    least_lease_s = settings.receive_window_ms / 1000 / (1 - 2 * _RENEWALS_PART)
    if settings.lease_s < least_lease_s:
        raise StartError(
            f"lease_s: {settings.lease_s} is not allowed; allowed is {least_lease_s:.2f} and more with "
            f"receive_window_ms {settings.receive_window_ms}: two renewals and the window must fit"
        )
    if not settings.policy_file:
        raise StartError("policy_file is missing; it holds the rules of the risk policy in force")
