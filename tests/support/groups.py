"""Which tests run one after another in one process of pytest-xdist (``--dist loadgroup``), and which begin first.

A module is a group, for its fixtures are made once in it, unless its tests name another one (``xdist_group``). Groups
that take longest begin first: a long one that began last would be waited for alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest


def spread(items: list[pytest.Item], longest: Sequence[str] = ()) -> None:
    """Group the tests of a tier and order their groups.

    Parameters
    ----------
    items
        Tests of one tier; ordered in place.
    longest
        Names of groups that begin first, in this order; a module's group has its name.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    rank = {name: number for number, name in enumerate(longest)}
    items.sort(key=lambda item: rank.get(_group(item), len(rank)))


def _group(item: pytest.Item) -> str:
    marker = item.get_closest_marker("xdist_group")
    assert marker is not None
    return str(marker.args[0])
