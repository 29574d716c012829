"""The double-entry ledger: every transaction sums to zero in every currency it touches.

Accounts are seen from our side: ASSETS is held by the venue for us; the others are its sources and uses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum

import msgspec

from titan.domain.instruments import Instrument
from titan.domain.numbers import ZERO
from titan.domain.orders import Fill


class LedgerAccount(StrEnum):
    """The ledger's accounts, each kept per currency."""

    ASSETS = "assets"  # what the venue holds for us
    DEPOSITS = "deposits"  # money put in and taken out
    REALIZED_PNL = "realized_pnl"  # profit of closed derivatives, before fees
    FEES = "fees"  # fees paid
    TRADING = "trading"  # the other half of a spot trade: base against quote
    ADJUSTMENTS = "adjustments"  # adopted from the venue by reconciliation, cause unknown


class Posting(msgspec.Struct, frozen=True):
    """One line: a signed amount of one currency in one account."""

    account: LedgerAccount
    currency: str
    amount: Decimal


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """Postings that belong together; ``reference`` is unique (``fill:BTC/USDT:42``)."""

    reference: str
    market_time_ns: int
    postings: tuple[Posting, ...]


class UnbalancedError(ValueError):
    """A transaction that does not sum to zero; the message names it and the currency."""


class Ledger:
    """Balances by account and currency, and how many transactions made them."""

    def __init__(self) -> None:
        self.balances: dict[tuple[LedgerAccount, str], Decimal] = defaultdict(lambda: ZERO)
        self.transactions = 0

    def book(self, transaction: Transaction) -> None:
        """Add a transaction.

        Raises
        ------
        UnbalancedError
            When it does not sum to zero in a currency; nothing is added then.
        """
        check_balanced(transaction)
        for posting in transaction.postings:
            self.balances[posting.account, posting.currency] += posting.amount
        self.transactions += 1

    def balance(self, account: LedgerAccount, currency: str) -> Decimal:
        """Return an account's balance of a currency."""
        return self.balances.get((account, currency), ZERO)

    def assets(self) -> dict[str, Decimal]:
        """Return the balances that the venue should hold for us, by currency, without zeros."""
        return {
            currency: amount
            for (account, currency), amount in self.balances.items()
            if account is LedgerAccount.ASSETS and amount != ZERO
        }

    def net_deposits(self) -> dict[str, Decimal]:
        """Return deposits less withdrawals by currency, without zeros."""
        return {
            currency: -amount
            for (account, currency), amount in self.balances.items()
            if account is LedgerAccount.DEPOSITS and amount != ZERO
        }

    @property
    def balanced(self) -> bool:
        """Whether the whole ledger sums to zero in every currency."""
        return all(total == ZERO for total in _totals((c, a) for (_, c), a in self.balances.items()).values())


def _totals(amounts: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = {}
    for currency, amount in amounts:
        totals[currency] = totals.get(currency, ZERO) + amount
    return totals


def check_balanced(transaction: Transaction) -> None:
    """Check that a transaction sums to zero in each currency.

    Raises
    ------
    UnbalancedError
        Names the transaction, the currency and the difference.
    """
    for currency, total in _totals((p.currency, p.amount) for p in transaction.postings).items():
        if total != ZERO:
            raise UnbalancedError(f"{transaction.reference}: {currency} sums to {total}, must be 0")


def fill_transaction(fill: Fill, instrument: Instrument) -> Transaction:
    """Return a fill's transaction: spot moves base and quote, a derivative its realized profit; both their fee."""
    postings: list[Posting] = []
    if instrument.kind == "spot":
        base = fill.quantity * fill.side.sign
        quote = -base * fill.price
        postings += [
            Posting(LedgerAccount.ASSETS, instrument.base, base),
            Posting(LedgerAccount.TRADING, instrument.base, -base),
            Posting(LedgerAccount.ASSETS, instrument.quote, quote),
            Posting(LedgerAccount.TRADING, instrument.quote, -quote),
        ]
    elif fill.realized_pnl != ZERO:
        postings += [
            Posting(LedgerAccount.ASSETS, instrument.settle, fill.realized_pnl),
            Posting(LedgerAccount.REALIZED_PNL, instrument.settle, -fill.realized_pnl),
        ]
    if fill.fee != ZERO:
        postings += [
            Posting(LedgerAccount.ASSETS, fill.fee_currency, -fill.fee),
            Posting(LedgerAccount.FEES, fill.fee_currency, fill.fee),
        ]
    return Transaction(
        reference=f"fill:{fill.symbol}:{fill.trade_id}", market_time_ns=fill.event_time_ns, postings=tuple(postings)
    )


def transfer_transaction(
    account: LedgerAccount, asset: str, amount: Decimal, reference: str, time_ns: int
) -> Transaction:
    """Money that came in (positive) or went out, from DEPOSITS or, where the cause is unknown, ADJUSTMENTS."""
    return Transaction(
        reference=f"{account.value}:{reference}",
        market_time_ns=time_ns,
        postings=(Posting(LedgerAccount.ASSETS, asset, amount), Posting(account, asset, -amount)),
    )
