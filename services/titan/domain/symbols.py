"""The one symbol normalizer. Inside Titan a symbol is ccxt unified: ``BTC/USDT`` (spot), ``BTC/USDT:USDT`` (perp).

A perpetual quoted in dollars is inverse: it settles in its base (``BTCUSD_PERP``, ``BTC-USD-SWAP``, ``XBTUSD``).
A perpetual quoted in a coin or stablecoin settles in that. A spelling that could mean two symbols is refused:
``DOTUSD`` is DOT/USD or DO/TUSD.
"""

from __future__ import annotations

import re

QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USD", "EUR", "BTC", "ETH")
# Quote currencies that are no token: no perpetual of a supported venue settles in them.
_FIAT = ("USD", "EUR")
# No listed base currency ends in FD, so FDUSD is one currency; bases that end in T or B are many.
_UNAMBIGUOUS = ("FDUSD",)
_OTHER_NAMES = {"XBT": "BTC"}
UNIFIED_PATTERN = r"^[A-Z0-9]{1,20}/[A-Z0-9]{2,10}(:[A-Z0-9]{2,10})?$"
UNIFIED_LONGEST = 42
_UNIFIED = re.compile(UNIFIED_PATTERN)
# Kraken writes XXBTZUSD: X and Z are no part of a currency.
_KRAKEN = re.compile(r"X[A-Z]{3}Z[A-Z]{3}")
_PERP_SUFFIX = re.compile(r"(-SWAP|[-_]?PERP|\.P)$")


def is_unified(symbol: str) -> bool:
    """Whether ``symbol`` already has the unified spelling."""
    return bool(_UNIFIED.fullmatch(symbol))


def is_perp(symbol: str) -> bool:
    """Whether a unified symbol is a perpetual (has a settlement currency)."""
    return ":" in symbol


def base_of(symbol: str) -> str:
    """Base currency of a unified symbol."""
    return symbol.partition("/")[0]


def quote_of(symbol: str) -> str:
    """Quote currency of a unified symbol."""
    return symbol.partition("/")[2].partition(":")[0]


def normalize_symbol(text: str, perp: bool) -> str:
    """Read any spelling in use: ``BTCUSDT``, ``BTC_USDT``, ``btc-usdt-swap``, ``BTCUSDT.P``, ``BTC/USDT:USDT``.

    Parameters
    ----------
    text
        A venue's or a person's spelling, in capitals or in small letters.
    perp
        Kind of a spelling that does not name one: a perpetual, or spot.

    Returns
    -------
    str
        The unified symbol.

    Raises
    ------
    ValueError
        When the spelling is not known, or could mean more than one symbol.
    """
    stripped = text.strip()
    upper = stripped.upper()
    # Mixed letters carry a meaning of their own: Bitfinex' tBTCUSD is BTC/USD, not TBTC/USD.
    if not stripped.isascii() or stripped not in (upper, stripped.lower()):
        raise _unknown(text)
    if is_unified(upper):
        pair, _, settle = upper.partition(":")
        base, _, quote = pair.partition("/")
        if settle not in ("", base, quote):
            raise ValueError(f"symbol: {text!r} settles in {settle}; allowed are {base} and {quote}")
        return f"{_name(base)}/{_name(quote)}" + (f":{_name(settle)}" if settle else "")
    bare, suffixes = _PERP_SUFFIX.subn("", upper)
    parts = re.split(r"[/_-]", bare)
    readings = [(parts[0], parts[1])] if len(parts) == 2 else _split(bare) if len(parts) == 1 else []
    symbols = [_unified(_name(base), quote, perp or bool(suffixes)) for base, quote in readings if quote in QUOTES]
    symbols = [symbol for symbol in symbols if is_unified(symbol)]
    if len(symbols) > 1:
        raise ValueError(f"symbol: {text!r} could be {' or '.join(symbols)}; allowed are these")
    if not symbols:
        raise _unknown(text)
    return symbols[0]


def _split(bare: str) -> list[tuple[str, str]]:
    """Return every reading of a spelling without a separator."""
    if _KRAKEN.fullmatch(bare):
        return []
    for quote in _UNAMBIGUOUS:
        if bare.endswith(quote):
            return [(bare.removesuffix(quote), quote)]
    readings = [(bare.removesuffix(quote), quote) for quote in QUOTES if bare.endswith(quote)]
    # XBTUSD is not XB/TUSD.
    return [reading for reading in readings if reading[0] in _OTHER_NAMES] or readings


def _name(currency: str) -> str:
    return _OTHER_NAMES.get(currency, currency)


def _unified(base: str, quote: str, perp: bool) -> str:
    if not perp:
        return f"{base}/{quote}"
    return f"{base}/{quote}:{base if quote in _FIAT else quote}"


def _unknown(text: str) -> ValueError:
    return ValueError(
        f"symbol: {text!r} is not known; allowed are spellings like BTC/USDT:USDT, BTCUSDT or BTC-USDT-SWAP"
    )
