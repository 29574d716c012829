"""Brain's parameters from a file: numbers out of range are named where they are read."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from titan.risk.parameters import RiskParameters


def document() -> dict[str, Any]:
    read: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(RiskParameters()))
    return read


def test_the_defaults_come_back() -> None:
    assert msgspec.convert(document(), RiskParameters) == RiskParameters()


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "-1", "1e400"])
@pytest.mark.parametrize("field", ["hysteresis", "budget_drawdown", "cautious_scale", "daily_loss_cautious"])
def test_a_number_that_is_not_allowed(field: str, text: str) -> None:
    encoded = msgspec.json.encode({**document(), field: text})
    with pytest.raises(
        msgspec.ValidationError, match=rf"^{field}: .* is not allowed; allowed are decimals from 0 on and"
    ):
        msgspec.json.decode(encoded, type=RiskParameters)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-1"])
@pytest.mark.parametrize("field", ["starts_at_equity", "allocation_cap", "margin_leverage", "margin_use_max"])
def test_a_phases_number(field: str, text: str) -> None:
    changed = document()
    changed["phases"]["scavenger"][field] = text
    with pytest.raises(msgspec.ValidationError, match=rf"^{field}: .* is not allowed; .* at `\$.phases\[...\]`"):
        msgspec.convert(changed, RiskParameters)


def test_a_leverage_is_a_divisor() -> None:
    changed = document()
    changed["phases"]["hunter"]["margin_leverage"] = "0"
    with pytest.raises(
        msgspec.ValidationError, match=r"margin_leverage: 0 is not allowed; allowed are multiples from 1"
    ):
        msgspec.convert(changed, RiskParameters)


def test_a_tiers_number() -> None:
    changed = document() | {"leverage_tiers": [["0", "NaN"]]}
    with pytest.raises(msgspec.ValidationError, match=r"leverage_tiers: NaN is not allowed"):
        msgspec.convert(changed, RiskParameters)
