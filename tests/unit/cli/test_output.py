from __future__ import annotations

import json

import pytest
import yaml

from titan.cli import output
from titan.cli.output import Column, Output, clock, document, number, percent, print_document, print_table, word
from titan.v1 import common_pb2 as c
from titan.v1 import execution_pb2 as e
from titan.v1 import order_pb2 as o


@pytest.mark.parametrize(
    ("description", "text", "places", "shown"),
    [
        ("no value is a dash, never a zero", "", 4, "–"),
        ("short enough stays as it is", "0.001", 4, "0.001"),
        ("too long is rounded", "1.23456", 4, "1.2346"),
        ("zero", "0", 2, "0"),
        ("negative", "-0.12345", 2, "-0.12"),
        ("large", "123456789012.5", 2, "123456789012.5"),
        ("no number is shown as it came", "market", 2, "market"),
    ],
)
def test_number(description: str, text: str, places: int, shown: str) -> None:
    assert number(text, places) == shown


def test_percent() -> None:
    assert percent("0.0512") == "5.12 %"
    assert percent("") == "–"


def test_clock_is_utc_and_unknown_at_zero() -> None:
    assert clock(1_723_161_255_123_456_789) == "08-08 23:54:15.123"
    assert clock(0) == "–"


def test_word_of_a_number_that_this_program_does_not_know() -> None:
    assert word(c.Side, c.SIDE_SELL, "SIDE_") == "SELL"
    assert word(c.Side, 99, "SIDE_") == "99"


def test_document_has_the_names_of_the_protos_and_every_field() -> None:
    fields = document(o.Order(client_order_id="t1", average_price="1"))
    assert set(fields) == {field.name for field in o.Order.DESCRIPTOR.fields}
    assert fields["state"] == "ORDER_STATE_UNSPECIFIED"


def test_json_and_yaml_hold_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    value = document(e.ListOrdersResponse(orders=[o.Order(client_order_id="t1")]))
    print_document(value, Output.JSON)
    as_json = capsys.readouterr().out
    print_document(value, Output.YAML)
    as_yaml = capsys.readouterr().out
    assert json.loads(as_json) == yaml.safe_load(as_yaml) == value


def test_wide_table_is_folded_at_100_columns_and_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    cell = "x" * 150
    print_table((Column("A", wrap=True), Column("B", right=True)), [(cell, "12")], empty="none")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert "".join(lines).count("x") == 150


def test_empty_table_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    print_table((Column("A"),), [], empty="no orders yet")
    assert capsys.readouterr().out == "no orders yet\n"


def test_narrow_terminal_is_used_and_a_wide_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.sys.stdout, "isatty", lambda: True, raising=False)
    for columns, used in ((80, 80), (200, 100)):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert output.width() == used


def test_what_a_terminal_would_carry_out_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    text = "a\x1b[31mred\u202e\x9b"
    output.print_text(f"{text}\nline → ü")
    print_table((Column("A"),), [(f"{text}\nline",)], empty="none")
    output.print_error(text)
    captured = capsys.readouterr()
    assert captured.out == "a\\x1b[31mred\\u202e\\x9b\nline → ü\nA\na\\x1b[31mred\\u202e\\x9b\\nline\n"
    assert captured.err == "a\\x1b[31mred\\u202e\\x9b\n"


@pytest.mark.parametrize("kind", [Output.JSON, Output.YAML])
def test_a_document_stays_the_same_document(kind: Output, capsys: pytest.CaptureFixture[str]) -> None:
    value = {"reason": "a\x1b[31m\x7f\x9b\u202e ü\nline"}
    output.print_document(value, kind)
    printed = capsys.readouterr().out
    assert printed.replace("\n", "").isprintable()
    assert yaml.safe_load(printed) == value
