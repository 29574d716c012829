"""Run each test of this folder on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest

from support.stack.local_processes import Stack


@pytest.fixture
def stack(stack_on_each_database: Stack) -> Stack:
    """A stack on each database."""
    return stack_on_each_database
