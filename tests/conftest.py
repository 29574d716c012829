"""Fixtures that every tier uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.stack import Stack


@pytest.fixture
def stack_dir(tmp_path: Path) -> Path:
    """An empty state directory."""
    path = tmp_path / "state"
    path.mkdir()
    return path


@pytest.fixture
def stack(stack_dir: Path) -> Stack:
    """Certificates, free ports and settings for the processes of one stack."""
    return Stack(stack_dir)
