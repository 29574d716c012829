"""Pure: the error of every parser here, and readers of JSON and base64 that raise it."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

_Struct = TypeVar("_Struct")


class FormatError(ValueError):
    """The bytes are not of the format; the message names the place."""


def read_json(raw: bytes, kind: type[_Struct], what: str) -> _Struct:
    """Decode JSON of a known shape; fields that the shape does not have are ignored.

    Raises
    ------
    FormatError
        The bytes are no JSON, or of another shape.
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
        The text is no base64, or empty.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError(f"{what}: no base64") from error
    if not raw:
        raise FormatError(f"{what}: empty")
    return raw
