"""Pure: texts for people, taken from docstrings: a class's own, and the string under each of its fields."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap


def summary(cls: type) -> str:
    """Return a class's docstring as plain paragraphs."""
    return _plain(inspect.getdoc(cls) or "")


def field_texts(cls: type) -> dict[str, str]:
    """Return, by field name, the string under the field, in the class or in the base that defines it."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if "__annotations__" in vars(base):
            texts |= _own(base)
    return texts


@functools.cache
def _own(cls: type) -> dict[str, str]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            texts[statement.target.id] = _plain(inspect.cleandoc(following.value.value))
    return texts


def _plain(text: str) -> str:
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.replace("``", "").split("\n\n"))
    return "\n\n".join(paragraphs)
