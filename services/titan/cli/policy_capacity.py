"""What ``policy verify`` prints of a policy: what is not enforced, what it can trade, and how its loss limits bind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from titan.cli.errors import BadInput
from titan.cli.output import Column, print_table, print_text, print_wrapped
from titan.domain.instruments import PAPER_INSTRUMENTS
from titan.domain.numbers import ONE, ZERO, format_decimal, parse_decimal
from titan.domain.policy import mode_problem
from titan.domain.policy_enforcement import gaps
from titan.domain.policy_rules import PolicyRules
from titan.marketdata.simulation.parameters import FIRST_PRICES
from titan.risk.capacity import SCORE, STOPS_BPS, TARGET_STOPS, Capacity, capacities, loss_limits
from titan.risk.parameters import RiskParameters

DEFAULT_EQUITY = Decimal(200)
_CAPACITY_COLUMNS = (
    Column("SYMBOL"),
    Column("LEVEL"),
    Column("LOTS AT MOST", right=True),
    Column("LOT (USDT)", right=True),
    Column("STOP (bps)", right=True),
    Column("SETUPS TAKEN"),
    Column("FROM EQUITY", right=True),
)
_LOSS_COLUMNS = (Column("LOSS (USDT)", right=True), Column("LIMIT"), Column("THEN"))


def parse_equity(text: str) -> Decimal:
    """Read ``--equity``.

    Raises
    ------
    BadInput
        When it is no amount above 0.
    """
    return _amount(text, "--equity")


def parse_prices(texts: Sequence[str]) -> dict[str, Decimal]:
    """Read ``--price BASE=PRICE``; for other bases the simulated market's first prices hold.

    Raises
    ------
    BadInput
        When one is no such pair.
    """
    prices = {base: Decimal(str(price)) for base, price in FIRST_PRICES.items()}
    for text in texts:
        base, separator, price = text.partition("=")
        if not separator or not base:
            raise BadInput(f"--price: {text!r}; allowed is BASE=PRICE, like BTC=61800")
        prices[base] = _amount(price, f"--price {base}")
    return prices


def capability_document(rules: PolicyRules, equity: Decimal, prices: Mapping[str, Decimal]) -> dict[str, Any]:
    """Make the JSON object of a policy's capability at an equity."""
    return {
        "equity": format_decimal(equity),
        "not_enforced": [{"rule": gap.rule, "why": gap.why} for gap in gaps(rules)],
        "modes": {mode: mode_problem(rules, mode) or "runs" for mode in rules.modes},
        "capacity": [_capacity_document(one) for one in _capacities(rules, equity, prices)],
        "loss_limits": [
            {"loss": _places(limit.loss), "limit": limit.name, "then": limit.effect}
            for limit in loss_limits(rules, equity, RiskParameters())
        ],
    }


def print_capability(rules: PolicyRules, equity: Decimal, prices: Mapping[str, Decimal]) -> None:
    """Print a policy's capability at an equity."""
    for gap in gaps(rules):
        print_wrapped(f"not enforced: {gap.sentence}")
    for mode in rules.modes:
        if (problem := mode_problem(rules, mode)) is not None:
            print_wrapped(problem)
    shown = ", ".join(f"{base} {format_decimal(price)}" for base, price in prices.items())
    print_text("")
    print_wrapped(
        f"What it can trade at equity {format_decimal(equity)} USDT, for a setup of score {SCORE:g} with a target of "
        f"{TARGET_STOPS} stops, stops from {STOPS_BPS[0]} to {STOPS_BPS[-1]} bps, at {shown}; DEFENSIVE and EMERGENCY "
        "open nothing:"
    )
    found = _capacities(rules, equity, prices)
    print_table(_CAPACITY_COLUMNS, [_capacity_row(one) for one in found], empty="no symbol of it is listed")
    for reason in dict.fromkeys(one.reason for one in found if one.stopped):
        print_wrapped(f"STOPPED by {reason}")
    print_text("")
    print_text("The order in which its loss limits bind, for a flat account at its peak:")
    rows = [(_places(limit.loss), limit.name, limit.effect) for limit in loss_limits(rules, equity, RiskParameters())]
    print_table(_LOSS_COLUMNS, rows, empty="none")


def _capacities(rules: PolicyRules, equity: Decimal, prices: Mapping[str, Decimal]) -> list[Capacity]:
    known = {
        symbol: prices[instrument.base] for symbol, instrument in PAPER_INSTRUMENTS.items() if instrument.base in prices
    }
    return list(capacities(rules, equity, PAPER_INSTRUMENTS, known, RiskParameters()))


def _capacity_document(one: Capacity) -> dict[str, Any]:
    return {
        "symbol": one.symbol,
        "level": one.level.name,
        "stopped": one.stopped,
        "lots": one.lots,
        "lot_notional": _places(one.lot_notional),
        "smallest_stop_bps": one.smallest_stop_bps,
        "largest_stop_bps": one.largest_stop_bps,
        "share_of_setups": format_decimal(one.share),
        "smallest_equity": None if one.smallest_equity is None else format_decimal(one.smallest_equity),
        "reason": one.reason,
    }


def _capacity_row(one: Capacity) -> tuple[str, ...]:
    smallest = "never" if one.smallest_equity is None else format_decimal(one.smallest_equity)
    if one.stopped:
        return one.symbol, one.level.name, "STOPPED", _places(one.lot_notional), "", "", smallest
    stops = f"{one.smallest_stop_bps}–{one.largest_stop_bps}"
    share = "all" if one.share == ONE else f"{format_decimal(one.share)} of them"
    return one.symbol, one.level.name, str(one.lots), _places(one.lot_notional), stops, share, smallest


def _amount(text: str, field: str) -> Decimal:
    try:
        amount = parse_decimal(text, field)
    except ValueError as error:
        raise BadInput(str(error)) from error
    if amount <= ZERO:
        raise BadInput(f"{field}: {text}; allowed is an amount above 0")
    return amount


def _places(amount: Decimal) -> str:
    return f"{amount:.2f}"
