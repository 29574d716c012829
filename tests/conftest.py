"""Fixtures that every tier uses."""

from __future__ import annotations

import os
from pathlib import Path

# Before gRPC is imported anywhere: its core's own lines would stand between those of the tests.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

import pytest
from hypothesis import HealthCheck, settings

from support.stack import Stack

# How long an example takes is the machine's affair: what is too slow is a benchmark's to say.
settings.register_profile("titan", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("titan")


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
