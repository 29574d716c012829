"""Brain on SQLite and on PostgreSQL: it behaves alike."""

from __future__ import annotations

import pytest

from support.stack.local_processes import Stack


@pytest.fixture
def stack(stack_on_each_database: Stack) -> Stack:
    """Each test of this folder on each."""
    return stack_on_each_database
