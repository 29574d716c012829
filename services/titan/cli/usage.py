"""Bad flags and arguments as sentences: the flag, its value, what is allowed, and an example."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import typer

from titan.domain.policy_rules import shown

if TYPE_CHECKING:
    from collections.abc import Mapping


def usage_message(error: typer.TyperException, program: str) -> str:
    """Describe an error of the command line in one sentence, with the help that lists the alternatives.

    typer validates values with pydantic, and pydantic's own texts name neither the value nor an example.
    """
    context = getattr(error, "ctx", None)
    help_command = f"`{context.command_path if context is not None else program} --help` shows what there is"
    parameter, cause = getattr(error, "param", None), cast(Any, error.__cause__)
    if parameter is not None and hasattr(cause, "errors"):
        detail = cause.errors(include_url=False)[0]
        return f"{_flag(parameter)}: {_problem(parameter, detail)} ({help_command})"
    return f"{error.format_message().rstrip('.')} ({help_command})"


def _flag(parameter: Any) -> str:
    names = [name for name in parameter.opts if name.startswith("--")]
    return str(names[0] if names else parameter.metavar or parameter.name.upper())


def _problem(parameter: Any, detail: Mapping[str, Any]) -> str:
    value, context = repr(shown(str(detail["input"]))), detail.get("ctx", {})
    if "error" in context:
        # A word that is not in an enumeration: the sentence is typer's own, and lists the words.
        return str(context["error"]).rstrip(".")
    bound = context.get("le", context.get("ge"))
    whole = detail["type"].startswith("int") or isinstance(bound, int)
    kind = "a whole number" if whole else "a number"
    # Only numbers and enumerations are validated: any other flag is text for its command.
    return f"{value} is not allowed; allowed is {kind}{_range(parameter)}{_example(parameter)}"


def _range(parameter: Any) -> str:
    lowest, highest = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if lowest is None:
        return "" if highest is None else f" up to {highest}"
    return f" from {lowest} to {highest}" if highest is not None else f" from {lowest}"


def _example(parameter: Any) -> str:
    default, flag = parameter.default, _flag(parameter)
    value = default if isinstance(default, int | float) else getattr(parameter, "min", None) or 5
    return f", like {flag} {value}" if flag.startswith("--") else f", like {value}"
