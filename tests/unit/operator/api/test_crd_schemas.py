"""The definitions as they are made: the committed files, described fields, and nothing that is unbounded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import generate
import generate_crds
import pytest
import yaml

from titan.domain.policy_rules import BooleanRule, IntegerRule
from titan_operator.api.crds import crds
from titan_operator.api.docstrings import field_texts, summary
from titan_operator.api.field_types import Model, by
from titan_operator.api.rule_schemas import rule_schema
from titan_operator.api.schemas import union_schema

CRDS = crds()
DOCUMENTS = generate_crds.documents()
Node = tuple[str, dict[str, Any]]


def _nodes(schema: dict[str, Any], path: str) -> Iterator[Node]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        if (path, name) != ("", "metadata"):
            yield from _nodes(inner, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from _nodes(schema["items"], f"{path}[]")


def _schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = CRDS[name]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


NODES = [(name, path, node) for name in CRDS for path, node in _nodes(_schema(name), "")]


def test_the_committed_files_are_what_make_generate_writes() -> None:
    made = generate.documents()
    assert made.keys() >= DOCUMENTS.keys()
    other = [str(path) for path, text in made.items() if (generate.ROOT / path).read_text(encoding="utf-8") != text]
    assert other == [], "run make generate"


def test_there_is_one_definition_of_each_kind_and_each_is_in_one_chart() -> None:
    assert sorted(str(path.parent) for path in DOCUMENTS) == [
        "charts/titan-admission/crds",
        "charts/titan/crds",
        "charts/titan/crds",
        "crds",
        "crds",
        "crds",
    ]


def test_every_field_is_described_in_sentences() -> None:
    for name, path, node in NODES:
        if not path.endswith("[]"):
            text = node.get("description", "")
            assert re.fullmatch(r"(?s)[\[\w\"].*[.>]", text), f"{name} {path}: {text!r}"
            assert "``" not in text


def test_every_string_list_and_number_of_ours_is_bounded() -> None:
    for name, path, node in NODES:
        if path in ("apiVersion", "kind"):
            continue  # the API server's own
        match node["type"]:
            case "string":
                assert "enum" in node or "maxLength" in node, f"{name} {path}"
            case "array":
                assert "maxItems" in node, f"{name} {path}"
            case "integer":
                assert {"minimum", "maximum"} <= set(node), f"{name} {path}"
            case kind:
                assert kind in ("object", "boolean"), f"{name} {path}"


def test_patterns_are_anchored_for_the_api_server_looks_for_them_anywhere() -> None:
    patterns = [node["pattern"] for _, _, node in NODES if "pattern" in node]
    assert patterns
    assert [pattern for pattern in patterns if not re.fullmatch(r"\^.*\$", pattern)] == []


def test_quantities_stand_behind_a_pattern() -> None:
    # quantity() reads "1k" too. Fields that a rule of their parent compares have theirs as well.
    for name, path, node in NODES:
        for item in node.get("x-kubernetes-validations", ()):
            fields = re.findall(r"quantity\(self\.?([\w.]*)\)", item["rule"])
            for field in fields:
                at = node
                for key in field.split(".") if field else ():
                    at = at["properties"][key]
                assert "pattern" in at, f"{name} {path} {field}"


def test_kubectl_get_titan_shows_both_kinds_of_a_stack() -> None:
    shown = {crd["spec"]["names"]["kind"]: crd for crd in CRDS.values()}
    assert {kind: crd["spec"]["names"].get("categories") for kind, crd in shown.items()} == {
        "RiskPolicy": ["titan"],
        "TitanPhase": ["titan"],
        "VerifiedImages": None,
    }
    columns = {
        kind: [
            column["name"]
            for column in crd["spec"]["versions"][0]["additionalPrinterColumns"]
            if not column.get("priority")
        ]
        for kind, crd in shown.items()
    }
    assert columns["TitanPhase"] == ["Role", "Mode", "Ready", "Reason", "Allocation", "Policy", "Age"]
    assert columns["RiskPolicy"] == ["Posture", "Ceiling", "Ready", "Reason", "Equity", "Policy", "Age"]


def test_the_definitions_are_yaml_that_reads_back_as_they_are() -> None:
    for path, text in DOCUMENTS.items():
        assert yaml.safe_load(text) == CRDS[path.name]


class Circle(Model):
    """Round.

    With a second paragraph in ``code``.
    """

    shape: Literal["circle"]
    """Which."""
    size: Annotated[int, by(IntegerRule(1, 5, ""))]
    """How large."""


class Square(Model):
    """With corners."""

    shape: Literal["square"]
    """Which."""
    size: Annotated[int, by(IntegerRule(1, 5, ""))] = 2
    """How wide."""
    filled: Annotated[bool, by(BooleanRule(""))] = False
    """Whether."""


def test_a_union_tells_what_is_for_whom() -> None:
    schema = union_schema({"circle": Circle, "square": Square}, "shape")
    assert schema["required"] == ["shape"]
    assert schema["properties"]["shape"]["enum"] == ["circle", "square"]
    assert schema["properties"]["size"]["description"] == (
        "circle: How large. Allowed is an integer from 1 to 5.\n\n"
        "square: How wide. Allowed is an integer from 1 to 5. Default: 2."
    )
    assert schema["properties"]["filled"]["description"] == "Whether. Default: false. For shape square."
    assert {item["message"] for item in schema["x-kubernetes-validations"]} == {
        "size: required for shape circle",
        "filled: allowed only for shape square",
    }


class Hexagon(Model):
    """With a size of another kind."""

    shape: Literal["hexagon"]
    """Which."""
    size: Annotated[int, by(IntegerRule(1, 6, ""))]
    """How large."""


def test_a_field_of_two_shapes_cannot_be_one_field() -> None:
    with pytest.raises(TypeError, match=r"^size has two schemas"):
        union_schema({"circle": Circle, "hexagon": Hexagon}, "shape")


def test_a_rule_of_a_new_kind_needs_a_schema() -> None:
    with pytest.raises(TypeError, match="has no schema"):
        rule_schema(object())


def test_texts_are_the_strings_under_the_fields() -> None:
    assert field_texts(Circle) == {"shape": "Which.", "size": "How large."} | field_texts(Model)
    assert summary(Circle) == "Round.\n\nWith a second paragraph in code."
