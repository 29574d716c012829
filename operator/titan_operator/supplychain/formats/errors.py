"""Pure: the one error of every parser here, and reading JSON with it."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

_Struct = TypeVar("_Struct")


class FormatError(ValueError):
    """Bytes that are not of the format; the message says where."""


def read_json(raw: bytes, kind: type[_Struct], what: str) -> _Struct:
    """Decode JSON of a known shape; fields that the shape does not have are left aside.

    Raises
    ------
    FormatError
        It is no JSON, or of another shape.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"{what}: {str(error).replace('`', '')}") from error


def read_base64(text: str, what: str) -> bytes:
    """Decode standard base64.

    Raises
    ------
    FormatError
        It is none, or empty.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError(f"{what}: no base64") from error
    if not raw:
        raise FormatError(f"{what}: empty")
    return raw
