"""Skips for an ability that the machine lacks: the only skips that CI accepts.

The plugin ``support.tiers.summary`` fails a run of CI for every other skipped test.
"""

from __future__ import annotations

from typing import NoReturn

import pytest

MARK = "machine: "


def skip_without(ability: str) -> NoReturn:
    """Skip the running test: the machine lacks ``ability``."""
    pytest.skip(f"{MARK}{ability}")


def needs(ability: str, present: bool) -> pytest.MarkDecorator:
    """Mark a test to be skipped unless ``ability`` is present."""
    return pytest.mark.skipif(not present, reason=f"{MARK}{ability}")
