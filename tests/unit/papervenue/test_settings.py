"""Settings of the paper venue: one sentence for each error."""

from __future__ import annotations

import pytest

from titan.papervenue.settings import PaperVenueSettings
from titan.runtime.process import StartError


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"initial_balance": "0"}, "initial_balance: 0 is not allowed; allowed are amounts of USDT above 0"),
        ({"initial_balance": "-5"}, "initial_balance: -5 is not allowed"),
        ({"initial_balance": "NaN"}, "initial_balance: 'NaN' is not a canonical decimal"),
        ({"account_leverage": "0.5"}, "account_leverage: 0.5 is not allowed; allowed are 1 to 125"),
        ({"account_leverage": "126"}, "account_leverage: 126 is not allowed"),
        ({"latency_ms": -1}, "latency_ms: -1 is not allowed; allowed are 0 to 60000"),
    ],
)
def test_bad_settings(fields: dict[str, object], message: str) -> None:
    settings = PaperVenueSettings(role="papervenue", http_port=0, state_dir=".", **fields)  # type: ignore[arg-type]
    with pytest.raises(StartError) as error:
        settings.check()
    assert str(error.value).startswith(message)


def test_defaults() -> None:
    settings = PaperVenueSettings(role="papervenue", http_port=0, state_dir=".")
    assert settings.check() == (200, 20)
    assert settings.latency_ns == 50_000_000
