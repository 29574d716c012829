from __future__ import annotations

import pytest

from titan.domain.acts import reason_problem


@pytest.mark.parametrize(
    ("reason", "problem"),
    [
        ("", ""),
        ("x" * 200, ""),
        ("Wartung → später", ""),
        ("x" * 201, "reason: 201 characters; allowed are 1 to 200 characters on one line"),
        ("two\nlines", r"reason: 'two\nlines' has control characters; allowed are 1 to 200 characters on one line"),
        ("end\n", r"reason: 'end\n' has control characters; allowed are 1 to 200 characters on one line"),
        ("\x1b[31m", r"reason: '\x1b[31m' has control characters; allowed are 1 to 200 characters on one line"),
    ],
)
def test_a_reason_is_one_line_of_200_characters(reason: str, problem: str) -> None:
    assert reason_problem(reason, "reason") == problem
