"""A strategy's own table of parameters, as rules for YAML: made of its declarations, without a second list.

YAML spells them in camelCase, integers as integers and fractions as canonical decimal strings; inside the strategy the
latter are floats, for they only feed signal maths.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from pydantic.alias_generators import to_camel

from titan.domain.numbers import parse_decimal
from titan.domain.policy_rules import BooleanRule, IntegerRule, RuleError, WordRule, shown, spelled
from titan_operator.api.field_types import InnerError

Parameters = TypeVar("Parameters", bound=msgspec.Struct)


class SignalNumberRule(msgspec.Struct, frozen=True):
    """A float of signal maths, written as a canonical decimal string; ``above`` excludes the lower bound."""

    lowest: float
    highest: float
    above: bool

    @property
    def allowed(self) -> str:
        """Allowed values of a document."""
        return f"a canonical decimal string {'above' if self.above else 'from'} {self.lowest:g} to {self.highest:g}"

    def read(self, value: object) -> float:
        """Raises RuleError."""
        if not isinstance(value, str):
            raise RuleError(value, self.allowed)
        try:
            number = float(parse_decimal(value, ""))
        except ValueError as error:
            raise RuleError(value, self.allowed) from error
        if not self.lowest <= number <= self.highest or (self.above and number == self.lowest):
            raise RuleError(value, self.allowed)
        return number


Rule = SignalNumberRule | IntegerRule | BooleanRule | WordRule


def _rule(hint: object) -> Rule:
    base, meta = (get_args(hint)[0], get_args(hint)[1]) if get_origin(hint) is Annotated else (hint, msgspec.Meta())
    if base is bool:
        return BooleanRule("")
    lowest, highest = meta.gt if meta.ge is None else meta.ge, meta.le
    if lowest is not None and highest is not None and base is int:
        return IntegerRule(int(lowest), int(highest), "")
    if lowest is not None and highest is not None and base is float:
        return SignalNumberRule(float(lowest), float(highest), meta.ge is None)
    if get_origin(base) is Literal:
        return WordRule(tuple(map(str, get_args(base))), "")
    raise TypeError(f"{hint} cannot be a parameter: allowed are bounded int and float, bool and Literal of str")


class ParameterTable(Generic[Parameters]):
    """Rules made of the annotations of a strategy's parameter struct.

    Parameters
    ----------
    kind
        A struct whose fields are int and float with ``Meta`` bounds, bool, or Literal of strings.
    fixed
        Fields that a resource sets elsewhere (symbols), which are no parameters in YAML.
    ascending
        Order that the struct itself enforces, for the schema: a field, the one that it may not exceed, and whether
        strictly.
    one_above_zero
        Likewise: fractions of which at least one must be above 0.
    """

    def __init__(
        self,
        kind: type[Parameters],
        fixed: tuple[str, ...],
        ascending: tuple[tuple[str, str, bool], ...],
        one_above_zero: tuple[str, ...],
    ) -> None:
        hints = get_type_hints(kind, include_extras=True)
        self.kind = kind
        self.ascending = ascending
        self.one_above_zero = one_above_zero
        self.fields = {to_camel(field): field for field in hints if field not in fixed}
        self.rules = {key: _rule(hints[field]) for key, field in self.fields.items()}

    def read(self, value: object) -> Mapping[str, Any]:
        """Read ``spec.parameters`` to the struct's own field names and types; absent ones keep their defaults.

        Raises
        ------
        ValueError
            One sentence: parameter, value, what is allowed.
        """
        if not isinstance(value, dict):
            raise RuleError(value, "an object of parameters")
        values: dict[str, Any] = {}
        for key, item in value.items():
            rule = self.rules.get(key)
            if rule is None:
                allowed = ", ".join(self.rules)
                raise InnerError(shown(str(key)), f"{spelled(item)}: no such parameter; allowed are {allowed}")
            try:
                values[self.fields[key]] = rule.read(item)
            except RuleError as error:
                raise InnerError(key, str(error)) from error
        self.kind(**values)  # the strategy itself checks rules on several parameters
        return values
