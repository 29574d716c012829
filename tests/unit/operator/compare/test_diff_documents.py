"""Differences of any documents: none with itself, none by defaults, one for anything else."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from titan_operator.compare.diff import first_difference, removals
from titan_operator.compare.field_owners import Location

Object = dict[str, Any]

# Documents as manifests are: objects, lists of named items, lists that count by position, leaves that say something.
names = st.text("abcdef", min_size=1, max_size=3)
leaves = st.one_of(st.booleans(), st.integers(1, 9), st.text("xyz", min_size=1, max_size=4))


def named(items: dict[str, Any]) -> list[Object]:
    return [{"name": name, "content": item} for name, item in items.items()]


documents = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.dictionaries(names, inner, min_size=1, max_size=4),
        st.lists(leaves, min_size=1, max_size=3),
        st.dictionaries(names, inner, min_size=1, max_size=3).map(named),
    ),
    max_leaves=12,
)
objects = st.dictionaries(names, documents, min_size=1, max_size=4)


def leaves_of(node: Any, at: Location = ()) -> Iterator[Location]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves_of(value, (*at, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from leaves_of(value, (*at, index))
    else:
        yield at


def parent_of(node: Any, at: Location) -> Any:
    for step in at[:-1]:
        node = node[step]
    return node


@given(document=objects)
def test_a_document_does_not_differ_from_itself(document: Object) -> None:
    assert first_difference(document, json.loads(json.dumps(document))) is None
    assert removals(document, document) == []


@given(document=objects, data=st.data())
def test_any_other_leaf_is_found(document: Object, data: st.DataObject) -> None:
    at = data.draw(st.sampled_from(list(leaves_of(document))))
    made = copy.deepcopy(document)
    before = parent_of(made, at)[at[-1]]
    other = data.draw(leaves)
    assume(other != before or isinstance(other, bool) != isinstance(before, bool))
    parent_of(made, at)[at[-1]] = other
    assert first_difference(document, made) is not None


@given(document=objects, data=st.data())
def test_anything_that_is_missing_is_found(document: Object, data: st.DataObject) -> None:
    at = data.draw(st.sampled_from(list(leaves_of(document))))
    made = copy.deepcopy(document)
    del parent_of(made, at)[at[-1]]
    assert first_difference(document, made) is not None


@given(document=objects, data=st.data())
def test_what_the_server_fills_in_is_no_difference(document: Object, data: st.DataObject) -> None:
    made = copy.deepcopy(document)
    holders = {at[:-1] for at in leaves_of(document)}
    for at in sorted(holders, key=str):
        holder = parent_of(made, (*at, ""))
        if isinstance(holder, dict) and data.draw(st.booleans()):
            holder["filledIn"] = data.draw(documents)
    assert first_difference(document, made) is None


@given(document=objects, order=st.randoms(use_true_random=False))
def test_the_order_of_named_items_is_no_difference(document: Object, order: Any) -> None:
    made = copy.deepcopy(document)

    def shuffle(node: Any) -> None:
        for value in node.values() if isinstance(node, dict) else node:
            if isinstance(value, dict | list):
                shuffle(value)
        if isinstance(node, list) and all(isinstance(item, dict) for item in node):
            order.shuffle(node)

    shuffle(made)
    assert first_difference(document, made) is None
