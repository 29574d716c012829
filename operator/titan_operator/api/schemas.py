"""Pure: structural schemas of whole models: fields, descriptions, rules on several fields, and fields by role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta
from pydantic.fields import FieldInfo

from titan_operator.api.docstrings import field_texts, summary
from titan_operator.api.field_types import By, Model
from titan_operator.api.rule_schemas import Schema, allowed, described, rule_schema, spelled_default, validation


def model_schema(model: type[Model]) -> Schema:
    """Return the schema of a model that people write."""
    texts = field_texts(model)
    fields = {field.alias or name: (name, field) for name, field in model.model_fields.items()}
    schema: Schema = {
        "type": "object",
        "properties": {key: _field(name, field, texts) for key, (name, field) in fields.items()},
    }
    required = [key for key, (_, field) in fields.items() if field.is_required()]
    if required:
        schema["required"] = required
    validations = _validations(model)
    if validations:
        schema["x-kubernetes-validations"] = validations
    return schema


def _validations(model: type[Model]) -> list[dict[str, str]]:
    checks = [validation(check.cel, check.message) for check in model.checks if check.cel is not None]
    return checks + [validation(transition.cel, transition.message) for transition in model.transitions]


def _field(name: str, field: FieldInfo, texts: Mapping[str, str]) -> Schema:
    text = texts.get(name, "")
    rule = next((item.rule for item in field.metadata if isinstance(item, By)), None)
    if rule is not None:
        default = _default(field)
        return described(rule_schema(rule), text, allowed(rule), default)
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not NoneType]
    if get_origin(field.annotation) is Literal:
        return described({"type": "string", "enum": list(kinds)}, text)
    (kind,) = kinds
    assert isinstance(kind, type)
    assert issubclass(kind, Model)
    return described(model_schema(kind), text or summary(kind))


def _default(field: FieldInfo) -> str:
    plain = not field.is_required() and field.default_factory is None and field.default is not None
    return f"Default: {spelled_default(field.default)}." if plain else ""


def union_schema(models: Mapping[str, type[Model]], discriminator: str) -> Schema:
    """Return one schema of several models, of which ``discriminator`` selects one.

    A field that not every model has, or requires, becomes a validation that names the field and its models. Where the
    models describe one field differently, the schema has all descriptions. Different objects of one name are merged,
    and their fields treated in the same way.
    """
    schemas = {word: model_schema(model) for word, model in models.items()}
    union = _Union(discriminator, tuple(schemas))
    properties = {key: union.field(key, _having(schemas, key)) for key in _keys(schemas)}
    required = [key for key in properties if all(key in schema.get("required", ()) for schema in schemas.values())]
    for key in properties:
        if key != discriminator:
            union.restrict(key, _having(schemas, key), _requiring(schemas, key))
    for key, schema in properties.items():
        inner = _having(schemas, key)
        if schema["type"] == "object" and len({repr(_bare(item)) for item in inner.values()}) > 1:
            for inner_key in _keys(inner):
                union.restrict(f"{key}.{inner_key}", _having(inner, inner_key), _requiring(inner, inner_key))
    union.own_validations(schemas)
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "x-kubernetes-validations": union.validations,
    }


class _Union:
    # Collects the validations of a union, which share the discriminator and its words.
    def __init__(self, discriminator: str, words: tuple[str, ...]) -> None:
        self.discriminator = discriminator
        self.words = words
        self.validations: list[dict[str, str]] = []

    def field(self, key: str, having: Mapping[str, Schema]) -> Schema:
        first = next(iter(having.values()))
        if key == self.discriminator:
            return {**first, "enum": list(self.words)}
        if len({repr(_bare(schema)) for schema in having.values()}) == 1:
            return {**first, "description": self._with_words(self._description(having), having)}
        if any("properties" not in schema for schema in having.values()):
            raise TypeError(f"{key} has two schemas: a field of one name is the same for every {self.discriminator}")
        merged: Schema = {
            "description": self._with_words(self._description(having), having),
            "type": "object",
            "properties": {name: self.field(name, _having(having, name)) for name in _keys(having)},
        }
        validations = [item for schema in having.values() for item in schema.get("x-kubernetes-validations", ())]
        return {**merged, "x-kubernetes-validations": validations} if validations else merged

    def restrict(self, path: str, having: Mapping[str, Schema], requiring: Sequence[str]) -> None:
        """Allow ``path`` for ``having`` only, and require it of ``requiring``."""
        parent = path.rpartition(".")[0]
        absent = f"!has(self.{parent}) || " if parent else ""
        if len(having) < len(self.words):
            message = f"{path}: allowed only for {self._phrase(list(having))}"
            self.validations.append(validation(f"{self._is(list(having))} || {absent}!has(self.{path})", message))
        if requiring and len(requiring) < len(self.words):
            message = f"{path}: required for {self._phrase(requiring)}"
            self.validations.append(validation(f"!({self._is(requiring)}) || {absent}has(self.{path})", message))

    def own_validations(self, schemas: Mapping[str, Schema]) -> None:
        """Add the models' own validations, each restricted to the models that have it."""
        found: dict[tuple[str, str], list[str]] = {}
        for word, schema in schemas.items():
            for item in schema.get("x-kubernetes-validations", ()):
                found.setdefault((item["rule"], item["message"]), []).append(word)
        for (rule, message), words in found.items():
            everywhere = len(words) == len(self.words)
            self.validations.append(validation(rule if everywhere else f"!({self._is(words)}) || ({rule})", message))

    def _with_words(self, description: str, having: Mapping[str, Schema]) -> str:
        everybody = len(having) == len(self.words) or "\n\n" in description
        return description if everybody else f"{description} For {self._phrase(list(having))}."

    def _is(self, words: Sequence[str]) -> str:
        return f"self.{self.discriminator} in {list(words)}"

    def _phrase(self, words: Sequence[str]) -> str:
        return f"{self.discriminator} {' or '.join(words)}"

    @staticmethod
    def _description(having: Mapping[str, Schema]) -> str:
        texts: dict[str, list[str]] = {}
        for word, schema in having.items():
            texts.setdefault(schema["description"], []).append(word)
        if len(texts) == 1:
            return next(iter(texts))
        return "\n\n".join(f"{', '.join(words)}: {text}" for text, words in texts.items() if text)


def _keys(schemas: Mapping[str, Schema]) -> list[str]:
    return list(dict.fromkeys(key for schema in schemas.values() for key in schema["properties"]))


def _having(schemas: Mapping[str, Schema], key: str) -> dict[str, Schema]:
    return {word: schema["properties"][key] for word, schema in schemas.items() if key in schema["properties"]}


def _requiring(schemas: Mapping[str, Schema], key: str) -> list[str]:
    return [word for word, schema in schemas.items() if key in schema.get("required", ())]


def _bare(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "description"}


_CONSTRAINTS = {
    "pattern": "pattern",
    "min_length": "minLength",
    "max_length": "maxLength",
    "ge": "minimum",
    "le": "maximum",
}
_LIST_CONSTRAINTS = {"min_length": "minItems", "max_length": "maxItems"}


def struct_schema(struct: type[msgspec.Struct]) -> Schema:
    """Return the schema of a struct that the operator writes, from its annotations."""
    texts, hints = field_texts(struct), get_type_hints(struct, include_extras=True)
    fields = msgspec.structs.fields(struct)
    schema: Schema = {
        "type": "object",
        "properties": {field.encode_name: described(_type(hints[field.name]), texts[field.name]) for field in fields},
    }
    required = [field.encode_name for field in fields if field.required]
    return {**schema, "required": required} if required else schema


def _type(hint: Any) -> Schema:
    origin = get_origin(hint)
    if origin is Annotated:
        base, *metas = get_args(hint)
        schema = _type(base)
        names = _LIST_CONSTRAINTS if schema["type"] == "array" else _CONSTRAINTS
        for meta in metas:
            assert isinstance(meta, Meta)
            constraints = {names[key]: getattr(meta, key) for key in names if getattr(meta, key) is not None}
            schema = {**schema, **constraints, **(meta.extra_json_schema or {})}
        return schema
    if origin in (Union, UnionType):
        (kind,) = (kind for kind in get_args(hint) if kind is not NoneType)
        return _type(kind)
    if origin is Literal:
        return {"type": "string", "enum": list(get_args(hint))}
    if origin is tuple:
        return {"type": "array", "items": _type(get_args(hint)[0])}
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return struct_schema(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {"type": "string", "enum": [member.value for member in hint]}
    plain = {str: {"type": "string"}, bool: {"type": "boolean"}, int: {"type": "integer", "format": "int64"}}
    return plain[hint].copy()
