"""Field types of the resources. Every refusal reads ``<value>; allowed is <what>``, as the domain's rules say it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Protocol

import msgspec
from pydantic import BaseModel, ConfigDict, PlainValidator, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from titan.domain.policy_hash import HASH_PATTERN
from titan.domain.policy_rules import (
    MAX_SYMBOLS,
    BooleanRule,
    RuleError,
    shown,
    spelled,
)
from titan.domain.symbols import is_unified


class Model(BaseModel):
    """Base of every model: frozen, camelCase, and an unknown field is named with the known ones."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, alias_generator=to_camel, arbitrary_types_allowed=True
    )

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise refusal(RuleError(value, f"an object of {', '.join(cls.spellings())}"))
        unknown = [key for key in value if key not in cls.spellings()]
        if unknown:
            problem = f"{spelled(value[unknown[0]])}: no such field; allowed are {', '.join(cls.spellings())}"
            raise refusal(ValueError(problem), shown(str(unknown[0])))
        return value

    @classmethod
    def spellings(cls) -> list[str]:
        """Field names as YAML spells them."""
        return [field.alias or name for name, field in cls.model_fields.items()]


def refusal(error: ValueError, at: str = "") -> PydanticCustomError:
    """A domain refusal as pydantic carries it: :mod:`titan_operator.api.loading` makes the sentence.

    ``at`` is the field below the one that is being validated, where the refusal is about that.
    """
    return PydanticCustomError("titan", "{problem}", {"problem": str(error), "at": at})


class InnerError(ValueError):
    """A refusal that concerns one key of an object that a rule reads as a whole."""

    def __init__(self, at: str, problem: str) -> None:
        super().__init__(problem)
        self.at = at


class PatternRule(msgspec.Struct, frozen=True):
    """A string of one shape; ``allowed`` says which."""

    pattern: str
    allowed: str

    def read(self, value: object) -> str:
        """Raises RuleError."""
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            raise RuleError(value, self.allowed)
        return value


class ListRule(msgspec.Struct, frozen=True):
    """A list of ``lowest`` to ``highest`` different strings that each pass ``accepts``."""

    lowest: int
    highest: int
    allowed: str
    accepts: Callable[[str], bool]

    def read(self, value: object) -> tuple[str, ...]:
        """Raises RuleError."""
        if not isinstance(value, list) or not self.lowest <= len(value) <= self.highest:
            raise RuleError(value, self.allowed)
        for item in value:
            if not isinstance(item, str) or not self.accepts(item) or value.count(item) > 1:
                raise RuleError(item, self.allowed)
        return tuple(value)


class Readable(Protocol):
    """A rule of the domain, or one like it."""

    def read(self, value: object) -> Any:
        """Document value to Python value; raises RuleError."""


def by(rule: Readable) -> PlainValidator:
    """Validate a field by a rule of the domain."""

    def read(value: object) -> object:
        try:
            return rule.read(value)
        except ValueError as error:
            raise refusal(error, error.at if isinstance(error, InnerError) else "") from error

    return PlainValidator(read)


def _is_path(text: str) -> bool:
    # A comma separates paths in a process's setting.
    return bool(text) and text.isprintable() and "," not in text and len(text) <= 1000


FILES = ListRule(0, 64, "a list of up to 64 different file paths without commas", _is_path)


Name = Annotated[
    str, by(PatternRule(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", "1 to 63 of a-z, 0-9 and -, not at an end"))
]
PolicyHash = Annotated[str, by(PatternRule(HASH_PATTERN, "sha256: and 64 lower-case hexadecimal digits"))]
Image = Annotated[
    str,
    by(
        PatternRule(
            r"^[a-z0-9][a-z0-9._:-]{0,100}(/[a-z0-9][a-z0-9._-]{0,100}){0,8}@sha256:[0-9a-f]{64}$",
            "an image by digest only, like registry/titan@sha256:<64 hexadecimal digits>",
        )
    ),
]
Symbols = Annotated[
    tuple[str, ...],
    by(
        ListRule(
            1,
            MAX_SYMBOLS,
            f"a list of 1 to {MAX_SYMBOLS} different unified symbols like BTC/USDT or BTC/USDT:USDT",
            is_unified,
        )
    ),
]
Files = Annotated[tuple[str, ...], by(FILES)]
Flag = Annotated[bool, by(BooleanRule("yes or no"))]
