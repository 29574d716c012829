"""Settings of the papervenue process."""

from __future__ import annotations

from decimal import Decimal

from titan.domain.numbers import parse_decimal
from titan.domain.time import NS_PER_MS
from titan.runtime.process import StartError
from titan.runtime.settings import ProcessSettings

_LONGEST_LATENCY_MS = 60_000
_GREATEST_LEVERAGE = 125


class PaperVenueSettings(ProcessSettings, kw_only=True, frozen=True):
    """Settings of the venue's one account.

    ``initial_balance`` (USDT) counts at the first start of a state only; ``latency_ms`` is market time from a client to
    the market; ``account_leverage`` the margin leverage of perpetuals, where the instrument allows it.
    """

    initial_balance: str = "200"
    latency_ms: int = 50
    account_leverage: str = "20"

    @property
    def latency_ns(self) -> int:
        """Market time from a client to the market."""
        return self.latency_ms * NS_PER_MS

    def check(self) -> tuple[Decimal, Decimal]:
        """Read balance and leverage.

        Raises
        ------
        StartError
            One sentence that names the setting, its value and what is allowed.
        """
        try:
            balance = parse_decimal(self.initial_balance, "initial_balance")
            leverage = parse_decimal(self.account_leverage, "account_leverage")
        except ValueError as error:
            raise StartError(str(error)) from error
        if balance <= 0:
            raise StartError(f"initial_balance: {balance} is not allowed; allowed are amounts of USDT above 0")
        if not 1 <= leverage <= _GREATEST_LEVERAGE:
            raise StartError(f"account_leverage: {leverage} is not allowed; allowed are 1 to {_GREATEST_LEVERAGE}")
        if not 0 <= self.latency_ms <= _LONGEST_LATENCY_MS:
            raise StartError(f"latency_ms: {self.latency_ms} is not allowed; allowed are 0 to {_LONGEST_LATENCY_MS}")
        return balance, leverage
