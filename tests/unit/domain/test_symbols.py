"""Spellings of symbols: venues' own ones, round trips, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from titan.domain.symbols import QUOTES, is_perp, is_unified, normalize_symbol


@pytest.mark.parametrize(
    ("venue", "spelling", "perp", "symbol"),
    [
        ("Binance spot", "BTCUSDT", False, "BTC/USDT"),
        ("Binance USD-M", "BTCUSDT", True, "BTC/USDT:USDT"),
        ("Binance USD-M, a base with digits", "1000PEPEUSDT", True, "1000PEPE/USDT:USDT"),
        ("Binance COIN-M", "BTCUSD_PERP", True, "BTC/USD:BTC"),
        ("Binance COIN-M names its kind", "BTCUSD_PERP", False, "BTC/USD:BTC"),
        ("OKX inverse", "BTC-USD-SWAP", True, "BTC/USD:BTC"),
        ("OKX linear", "BTC-USDT-SWAP", False, "BTC/USDT:USDT"),
        ("OKX spot", "BTC-USDT", False, "BTC/USDT"),
        ("BitMEX inverse", "XBTUSD", True, "BTC/USD:BTC"),
        ("BitMEX linear", "XBTUSDT", True, "BTC/USDT:USDT"),
        ("Kraken spot", "XBT/USD", False, "BTC/USD"),
        ("Bybit inverse", "ETHUSD", True, "ETH/USD:ETH"),
        ("MEXC contract", "BTC_USDT", True, "BTC/USDT:USDT"),
        ("TradingView", "BTCUSDT.P", False, "BTC/USDT:USDT"),
        ("TradingView inverse", "BTCUSD.P", False, "BTC/USD:BTC"),
        ("small letters", "btc-usdt-swap", False, "BTC/USDT:USDT"),
        ("FDUSD is one currency", "BTCFDUSD", False, "BTC/FDUSD"),
        ("a separator decides", "BTC_TUSD", False, "BTC/TUSD"),
        ("a separator decides", "DOT-USD", False, "DOT/USD"),
        ("a base named like a suffix", "PERPUSDT", True, "PERP/USDT:USDT"),
        ("quoted in a coin", "ETHBTC", False, "ETH/BTC"),
        ("unified with another name", "XBT/USD:XBT", True, "BTC/USD:BTC"),
        ("unified", "btc/usdt:usdt", False, "BTC/USDT:USDT"),
        ("unified names its kind", "BTC/USDT", True, "BTC/USDT"),
        ("unified linear in dollars", "BTC/USD:USD", True, "BTC/USD:USD"),
    ],
)
def test_a_venues_spelling(venue: str, spelling: str, perp: bool, symbol: str) -> None:
    assert normalize_symbol(spelling, perp) == symbol, venue


@pytest.mark.parametrize("perp", [False, True])
@pytest.mark.parametrize(
    ("description", "spelling", "message"),
    [
        (
            "BTCT/USD or BTC/TUSD",
            "BTCTUSD",
            "symbol: 'BTCTUSD' could be BTC/TUSD(:TUSD)? or BTCT/USD(:BTCT)?; allowed are",
        ),
        (
            "DOT/USD or DO/TUSD",
            "DOTUSD",
            "symbol: 'DOTUSD' could be DO/TUSD(:TUSD)? or DOT/USD(:DOT)?; allowed are these",
        ),
        ("ARB/USD or AR/BUSD", "ARBUSD", "could be AR/BUSD"),
        ("unknown quote", "BTCXYZ", "symbol: 'BTCXYZ' is not known; allowed are spellings like"),
        ("unknown quote behind a separator", "BTC-XYZ", "is not known"),
        ("no base", "USDT", "is not known"),
        ("no base before a separator", "_USDT", "is not known"),
        ("no quote", "BTC-PERP", "is not known"),
        ("Kraken's old names", "XXBTZUSD", "is not known"),
        ("Bitfinex' prefix", "tBTCUSD", "is not known"),
        ("Kraken futures", "PF_XBTUSD", "is not known"),
        ("KuCoin futures", "XBTUSDTM", "is not known"),
        ("a dated future", "BTCUSDT_240927", "is not known"),
        ("a dated inverse future", "BTC-USD-240927", "is not known"),
        ("a dated unified symbol", "BTC/USDT:USDT-240927", "is not known"),
        ("two suffixes", "BTC-USDT-SWAP-PERP", "is not known"),
        ("an alphabet that capitals hide", "\u017fOLUSDT", "is not known"),
        ("blanks", "BTC USDT", "is not known"),
        ("empty", "", "is not known"),
        ("settled in a third currency", "BTC/USDT:ETH", "settles in ETH; allowed are BTC and USDT"),
    ],
)
def test_refused_by_name(description: str, spelling: str, message: str, perp: bool) -> None:
    with pytest.raises(ValueError, match=message):
        normalize_symbol(spelling, perp)


# What an inverse perpetual settles in has two to ten characters.
BASES = st.from_regex(r"[A-Z0-9]{2,10}", fullmatch=True).filter(lambda base: base != "XBT")
SEPARATED = [("{}_{}", "{}_{}"), ("{}-{}", "{}-{}-SWAP"), ("{}/{}", "{}_{}_PERP"), ("{}_{}", "{}_{}.P")]
JOINED = [("{}{}", "{}{}"), ("{}{}", "{}{}_PERP"), ("{}{}", "{}{}.P")]


def unified(base: str, quote: str, perp: bool) -> str:
    settle = base if quote in ("USD", "EUR") else quote
    return f"{base}/{quote}:{settle}" if perp else f"{base}/{quote}"


@given(BASES, st.sampled_from(QUOTES), st.booleans(), st.sampled_from(SEPARATED), st.booleans())
def test_a_separated_spelling_comes_back(
    base: str, quote: str, perp: bool, spellings: tuple[str, str], small: bool
) -> None:
    symbol = unified(base, quote, perp)
    spelling = spellings[perp].format(base, quote)
    assert normalize_symbol(spelling.lower() if small else spelling, perp) == symbol
    # The unified spelling is its own, whatever the kind that is asked for.
    assert {normalize_symbol(symbol, asked) for asked in (False, True)} == {symbol}
    assert is_unified(symbol)
    assert is_perp(symbol) is perp


@given(BASES, st.sampled_from(QUOTES), st.booleans(), st.sampled_from(JOINED))
def test_a_joined_spelling_comes_back_or_is_refused(
    base: str, quote: str, perp: bool, spellings: tuple[str, str]
) -> None:
    # Decided: no base ends in FD, and XBTUSD is BTC/USD.
    assume(not (quote == "USD" and base.endswith("FD")))
    assume(base + quote != "XBTUSD")
    symbol = unified(base, quote, perp)
    try:
        read = normalize_symbol(spellings[perp].format(base, quote), perp)
    except ValueError:
        ambiguous = quote in ("TUSD", "BUSD") or (quote == "USD" and base[-1] in "TB")
        kraken = len(base + quote) == 8 and base[0] == "X" and (base + quote)[4] == "Z"
        assert ambiguous or kraken
    else:
        assert read == symbol


@given(st.text(alphabet="ABTUSDXZ-_/:.Pbtc", max_size=12), st.booleans())
def test_whatever_is_read_is_unified_and_stays_as_it_is(text: str, perp: bool) -> None:
    try:
        symbol = normalize_symbol(text, perp)
    except ValueError as error:
        problem = str(error)
        assert problem.startswith(f"symbol: {text!r}")
        return
    assert is_unified(symbol)
    assert normalize_symbol(symbol, perp) == symbol
