"""Field types of the resources. Every refusal reads ``<value>; allowed is <what>``, as those of the domain's rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol, Self

import msgspec
from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from titan.domain.policy_hash import HASH_PATTERN
from titan.domain.policy_rules import (
    MAX_SYMBOLS,
    BooleanRule,
    RuleError,
    shown,
    spelled,
)
from titan.domain.symbols import UNIFIED_LONGEST, UNIFIED_PATTERN


@dataclass(frozen=True)
class Check:
    """A rule on several fields of a model, in two forms: for the API server and for Python.

    Attributes
    ----------
    cel
        The rule for ``x-kubernetes-validations``; it holds where fields are absent too. None where CEL cannot express
        it.
    message
        The API server's message where the rule does not hold.
    problem
        Checks a model; returns the refusal, which shows the values, or None.
    """

    cel: str | None
    message: str
    problem: Callable[[Any], ValueError | None]


class Transition(msgspec.Struct, frozen=True):
    """A rule on updates, for the API server alone: a file has no earlier state."""

    cel: str
    message: str


class Model(BaseModel):
    """Base of every model: frozen, camelCase, and an unknown field is named with the known ones."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, alias_generator=to_camel, arbitrary_types_allowed=True
    )

    checks: ClassVar[tuple[Check, ...]] = ()
    transitions: ClassVar[tuple[Transition, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise refusal(RuleError(value, f"an object of {', '.join(cls.spellings())}"))
        unknown = [key for key in value if key not in cls.spellings()]
        if unknown:
            problem = f"{spelled(value[unknown[0]])}: no such field; allowed are {', '.join(cls.spellings())}"
            raise refusal(ValueError(problem), shown(str(unknown[0])))
        # Only here: every other field's own rule refuses null.
        optional = (field.alias or name for name, field in cls.model_fields.items() if field.default is None)
        empty = next((key for key in optional if key in value and value[key] is None), None)
        if empty is not None:
            raise refusal(ValueError("null; allowed is an object, or to leave the field out"), empty)
        return value

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        for check in self.checks:
            problem = check.problem(self)
            if problem is not None:
                raise refusal(problem)
        return self

    @classmethod
    def spellings(cls) -> list[str]:
        """Return the field names as YAML spells them."""
        return [field.alias or name for name, field in cls.model_fields.items()]


def refusal(error: ValueError, at: str = "") -> PydanticCustomError:
    """Wrap a domain refusal for pydantic; :mod:`titan_operator.api.loading` makes the sentence.

    ``at`` is a field below the validated one, where the refusal concerns that.
    """
    return PydanticCustomError("titan", "{problem}", {"problem": str(error), "at": at})


class InnerError(ValueError):
    """A refusal of one key of an object that a rule reads as a whole."""

    def __init__(self, at: str, problem: str) -> None:
        super().__init__(problem)
        self.at = at


class RulesError(ValueError):
    """Several refusals at once, each of which names its own field."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems[0])
        self.problems = tuple(problems)


class PatternRule(msgspec.Struct, frozen=True):
    """A string of one shape and at most ``longest`` characters; ``allowed`` describes it."""

    pattern: str
    longest: int
    allowed: str

    def read(self, value: object) -> str:
        """Raises RuleError."""
        if not isinstance(value, str) or len(value) > self.longest or not re.fullmatch(self.pattern, value):
            raise RuleError(value, self.allowed)
        return value


class ListRule(msgspec.Struct, frozen=True):
    """A list of ``lowest`` to ``highest`` different strings of one shape, each of ``longest`` characters at most."""

    lowest: int
    highest: int
    pattern: str
    longest: int
    allowed: str

    def read(self, value: object) -> tuple[str, ...]:
        """Raises RuleError."""
        if not isinstance(value, list) or not self.lowest <= len(value) <= self.highest:
            raise RuleError(value, self.allowed)
        item_rule = PatternRule(self.pattern, self.longest, self.allowed)
        for item in value:
            if value.count(item) > 1:
                raise RuleError(item, self.allowed)
            item_rule.read(item)
        return tuple(value)


class NamedListRule(msgspec.Struct, frozen=True):
    """A list of up to ``highest`` different objects with a name only, as pods list the Secrets of registries."""

    highest: int
    name: PatternRule
    allowed: str

    def read(self, value: object) -> tuple[str, ...]:
        """The names. Raises RuleError."""
        if not isinstance(value, list) or len(value) > self.highest:
            raise RuleError(value, self.allowed)
        for item in value:
            if not isinstance(item, dict) or set(item) != {"name"} or value.count(item) > 1:
                raise RuleError(item, self.allowed)
            self.name.read(item["name"])
        return tuple(item["name"] for item in value)


class TextMapRule(msgspec.Struct, frozen=True):
    """An object of strings, as labels and annotations are; the API server checks their content."""

    allowed: str

    def read(self, value: object) -> dict[str, str]:
        """Raises RuleError."""
        if not isinstance(value, dict):
            raise RuleError(value, self.allowed)
        for key, item in value.items():
            if not isinstance(item, str):
                raise InnerError(shown(key), str(RuleError(item, self.allowed)))
        return dict(value)


class Readable(Protocol):
    """A rule of the domain, or one like it."""

    def read(self, value: object) -> Any:
        """Document value to Python value; raises RuleError."""


@dataclass(frozen=True)
class By:
    """Annotation: ``rule`` reads the field, and its schema is made of it."""

    rule: Readable

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)

    def _read(self, value: object) -> object:
        try:
            return self.rule.read(value)
        except RulesError as error:
            # The loader makes a problem of each.
            raise PydanticCustomError(
                "titan_rules", "{problem}", {"problem": str(error), "problems": list(error.problems)}
            ) from error
        except ValueError as error:
            raise refusal(error, error.at if isinstance(error, InnerError) else "") from error


def by(rule: Readable) -> By:
    """Return an annotation that validates a field by a rule of the domain."""
    return By(rule)


# A comma separates paths in a process's setting.
FILES = ListRule(0, 64, r"^[^,\x00-\x1f\x7f]+$", 1000, "a list of up to 64 different file paths without commas")
LINE = r"^[^\x00-\x1f\x7f]+$"

NAME = PatternRule(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", 63, "1 to 63 of a-z, 0-9 and -, not at an end")
# Names of its children are made of it; the longest of them may have 63 characters and must begin with a letter.
PHASE_NAME = PatternRule(
    r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$", 40, "1 to 40 of a-z, 0-9 and -, beginning with a letter, not ending with -"
)

Name = Annotated[str, by(NAME)]
PullSecrets = Annotated[
    tuple[str, ...],
    by(NamedListRule(8, NAME, "a list of up to 8 different objects of a name each, as in a pod's spec")),
]
PhaseName = Annotated[str, by(PHASE_NAME)]
PolicyHash = Annotated[str, by(PatternRule(HASH_PATTERN, 71, "sha256: and 64 lower-case hexadecimal digits"))]
Image = Annotated[
    str,
    by(
        PatternRule(
            r"^[a-z0-9][a-z0-9._:-]{0,100}(/[a-z0-9][a-z0-9._-]{0,100}){0,8}@sha256:[0-9a-f]{64}$",
            500,
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
            UNIFIED_PATTERN,
            UNIFIED_LONGEST,
            f"a list of 1 to {MAX_SYMBOLS} different unified symbols like BTC/USDT or BTC/USDT:USDT",
        )
    ),
]
Files = Annotated[tuple[str, ...], by(FILES)]
Flag = Annotated[bool, by(BooleanRule("yes or no"))]
