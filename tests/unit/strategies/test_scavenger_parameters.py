from __future__ import annotations

import pytest

from titan.strategies.catalog import make_strategy
from titan.strategies.scavenger.parameters import ScavengerParameters, parse_parameters


def test_absent_fields_have_demo_values() -> None:
    assert parse_parameters(b"") == parse_parameters(b"{}") == ScavengerParameters()
    assert parse_parameters(b'{"stop_bps": 25}') == ScavengerParameters(stop_bps=25.0)


@pytest.mark.parametrize(
    ("description", "text", "says"),
    [
        ("unknown field", b'{"stop_pips": 3}', ("stop_pips", "unknown field")),
        ("below its bound", b'{"level_bars": 2}', ("level_bars", "2 is not allowed", ">= 4")),
        ("above its bound", b'{"stop_bps": 1e9}', ("stop_bps", "1000000000.0 is not allowed", "<= 1000")),
        ("NaN", b'{"stop_bps": NaN}', ("not valid JSON",)),
        ("infinite", b'{"limit_markup_bps": Infinity}', ("not valid JSON",)),
        ("beyond a float", b'{"target_bps": 1e400}', ("target_bps", "is not allowed")),
        ("NaN as text", b'{"stop_bps": "NaN"}', ("stop_bps", "'NaN' is not allowed", "`float`")),
        ("negative", b'{"hold_ms": -5}', ("hold_ms", "-5 is not allowed", ">= 1000")),
        ("wrong kind", b'{"hold_ms": "long"}', ("hold_ms", "'long' is not allowed", "`int`")),
        ("not one of the words", b'{"order_type": "stop"}', ("order_type", "'stop' is not allowed")),
        ("not JSON", b"stop_bps: 3", ("not valid JSON",)),
        ("no object", b"[]", ("Expected `object`",)),
        ("two fields that contradict", b'{"min_level_bars": 50}', ("min_level_bars: 50", "at most level_bars = 5")),
        ("memory too short", b'{"level_bars": 100}', ("level_bars: 100", "at most memory_bars = 60")),
        ("swing too long", b'{"swing_bars": 4}', ("swing_bars: 4", "less than min_level_bars = 4")),
        ("settles after the end", b'{"settle_ms": 9000}', ("settle_ms: 9000", "at most confirm_ms = 2500")),
        ("one symbol twice", b'{"spot_symbol": "BTC/USDT:USDT"}', ("spot_symbol", "another symbol than perp_symbol")),
        (
            "no weight at all",
            b'{"weight_imbalance": 0, "weight_burst": 0, "weight_spread": 0, "weight_alignment": 0}',
            ("weight_imbalance", "at least one weight above 0"),
        ),
    ],
)
def test_what_is_not_allowed_is_one_sentence(description: str, text: bytes, says: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"^scavenger parameters: ") as caught:
        parse_parameters(text)
    message = str(caught.value)
    assert "\n" not in message, description
    assert all(part in message for part in says), message


def test_strategies_are_known_by_name() -> None:
    assert make_strategy("scavenger", b"").name == "scavenger"
    with pytest.raises(ValueError, match="strategy: 'hunter' is not known; allowed are scavenger"):
        make_strategy("hunter", b"")
