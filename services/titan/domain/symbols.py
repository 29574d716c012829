"""The one symbol normaliser. Inside Titan a symbol is ccxt unified: ``BTC/USDT`` (spot), ``BTC/USDT:USDT`` (perp)."""

from __future__ import annotations

import re

# Longest first, so that BTCUSDT is not read as BTCUSD + T.
QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "USD", "EUR", "BTC", "ETH")
UNIFIED_PATTERN = r"^[A-Z0-9]{1,20}/[A-Z0-9]{2,10}(:[A-Z0-9]{2,10})?$"
UNIFIED_LONGEST = 42
_UNIFIED = re.compile(UNIFIED_PATTERN)
_PLAIN = re.compile(r"^[A-Z0-9]{4,30}$")
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


def normalise_symbol(text: str, perp: bool) -> str:
    """Read any spelling in use: ``BTCUSDT``, ``BTC_USDT``, ``btc-usdt-swap``, ``BTCUSDT.P``, ``BTC/USDT:USDT``.

    Parameters
    ----------
    text
        A venue's or a person's spelling.
    perp
        Kind of a spelling that does not name one: a linear perpetual, or spot.

    Returns
    -------
    str
        The unified symbol.

    Raises
    ------
    ValueError
        When no known quote currency can be found.
    """
    upper = text.strip().upper()
    if is_unified(upper):
        return upper
    bare, suffixes = _PERP_SUFFIX.subn("", upper)
    parts = re.split(r"[/_-]", bare)
    if len(parts) == 2 and all(parts):
        base, quote = parts
    elif len(parts) == 1 and _PLAIN.fullmatch(bare):
        quote = next((known for known in QUOTES if bare.endswith(known) and len(bare) > len(known)), "")
        base = bare[: -len(quote)] if quote else ""
    else:
        base = quote = ""
    if not base or quote not in QUOTES:
        raise ValueError(
            f"symbol: {text!r} is not known; allowed are spellings like BTC/USDT:USDT, BTCUSDT or BTC-USDT-SWAP"
        )
    return f"{base}/{quote}:{quote}" if perp or suffixes else f"{base}/{quote}"
