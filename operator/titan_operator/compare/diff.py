"""Pure: compare a live object with the wanted one: the first difference, who made it, and the fields to remove.

``wanted`` is the applied object: defaults of the API server are no difference. A field that another hand added is one.
A server-side apply does not remove it: :func:`removals` does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from titan_operator.api.names import RENDERED_BY, REVISION
from titan_operator.compare.field_owners import Location, managers, others_of, owned, projected, step_of
from titan_operator.compare.quantities import same_quantity

# Fields that hold amounts: there, and only there, "1000m" is "1".
_AMOUNTS = frozenset({"resources", "requests", "limits", "sizeLimit", "capacity"})
# Keys that may name an item of a list: the first that all items have and that is unique among them. An apply tells
# items apart by them too: a Service with another port has one more item, of the same name, until that is removed.
_NAMES = ("mountPath", "containerPort", "port", "name")
# Filled in by the API server and its controllers. A person who created the object owns them too, and a removal would
# bring them back at once.
_FILLED_IN = frozenset(
    """
    clusterIP clusterIPs ipFamilies ipFamilyPolicy internalTrafficPolicy sessionAffinity type protocol targetPort
    progressDeadlineSeconds revisionHistoryLimit replicas minReadySeconds paused strategy updateStrategy
    podManagementPolicy persistentVolumeClaimRetentionPolicy volumeMode volumeName storageClassName
    terminationMessagePath terminationMessagePolicy imagePullPolicy dnsPolicy restartPolicy schedulerName
    serviceAccount securityContext terminationGracePeriodSeconds defaultMode apiVersion scheme
    successThreshold failureThreshold periodSeconds timeoutSeconds initialDelaySeconds resources status
    policyTypes creationTimestamp secrets
    """.split()  # noqa: SIM905 - sixty quoted words are harder to read
)
_SHOWN = 80
_ABSENT = "absent"
# For `kubectl scale` and for a removed field the object has no manager's name.
_UNNAMED = "a hand that left no name"


@dataclass(frozen=True)
class Difference:
    """First difference: its path, both values shortened, and who made it (empty where the object has no name)."""

    path: str
    wanted: str
    live: str
    by: str = ""

    def __str__(self) -> str:
        by = f", set by {self.by}" if self.by else ""
        return f"{self.path}: wanted {self.wanted}, found {self.live}{by}"


@dataclass(frozen=True)
class _Found:
    path: str
    at: Location
    wanted: Any
    live: Any
    # Not wanted at all: an apply would leave it there.
    surplus: bool = False


def first_difference(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> Difference | None:
    """Return the first difference of ``live`` from ``wanted``; None where there is none.

    Absent, null and empty are the same; an object that is wanted empty must be empty. Amounts are compared by value,
    lists of named items by name. Values of a Secret are not shown.
    """
    found = next(_all(wanted, live), None)
    if found is None:
        return None
    hidden = wanted.get("kind") == "Secret" and found.at[:1] in (("data",), ("stringData",))
    return Difference(
        found.path,
        "another value" if hidden else _shown(found.wanted),
        "a value that is not shown" if hidden else _shown(found.live),
        _by(found, wanted, live),
    )


def removals(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a JSON patch that removes from ``live`` the fields of other hands; empty where there are none.

    The API server refuses it when any of these fields has changed since.
    """
    surplus = {found.at: found.wanted for found in reversed([*_all(wanted, live)]) if found.surplus}
    # A field below one of them is removed with it.
    places = {at for at in surplus if not any(at[:length] in surplus for length in range(len(at)))}
    # Later items of a list first, or the indices of the rest would move.
    ordered = sorted(places, key=lambda at: [(isinstance(step, str), step) for step in at], reverse=True)
    return [
        operation
        for at in ordered
        for operation in (
            {"op": "test", "path": _pointer(at), "value": _at(live, at)},
            {"op": "remove", "path": _pointer(at)}
            if surplus[at] is None
            else {"op": "replace", "path": _pointer(at), "value": surplus[at]},
        )
    ]


def kept_template(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``wanted`` with the parts of ``live`` that must stay: an upgraded operator restarts no pod.

    The pod template stays as it was applied, where another version rendered the same revision and no other hand has
    changed it since. The claims of a StatefulSet cannot be changed at all.
    """
    kept = dict(wanted)
    claims = live["spec"].get("volumeClaimTemplates")
    if claims and "volumeClaimTemplates" in wanted["spec"]:
        kept["spec"] = {**wanted["spec"], "volumeClaimTemplates": claims}
    rendered_by = _annotations(live).get(RENDERED_BY)
    same_revision = _template_revision(wanted) == _template_revision(live) != ""
    if not same_revision or rendered_by is None or rendered_by == _annotations(wanted).get(RENDERED_BY):
        return kept
    applied = next((manager.fields for manager in managers(live) if manager.ours and manager.applies), {})
    fields = applied.get("f:spec", {}).get("f:template")
    if not fields or others_of(live, ("spec", "template")):
        return kept
    annotations = {**_annotations(wanted), RENDERED_BY: rendered_by}
    kept["metadata"] = {**wanted["metadata"], "annotations": annotations}
    kept["spec"] = {**kept["spec"], "template": projected(fields, live["spec"]["template"])}
    return kept


def _by(found: _Found, wanted: Mapping[str, Any], live: Mapping[str, Any]) -> str:
    names = others_of(live, found.at)
    if names:
        return ", ".join(names)
    ours = [manager.fields for manager in managers(live) if manager.ours and manager.applies]
    # A field that we still own has changed in our rendering. One that we lost, though we rendered the same, was taken.
    same = ours and _rendering(wanted) == _rendering(live) != ("", "")
    kept = any(place[: len(found.at)] == found.at for fields in ours for place in owned(fields, live))
    return _UNNAMED if same and not kept else ""


def _rendering(manifest: Mapping[str, Any]) -> tuple[str, str]:
    version = str((manifest.get("metadata", {}).get("annotations") or {}).get(RENDERED_BY, ""))
    return version, _template_revision(manifest) if "template" in manifest.get("spec", {}) else ""


def _annotations(manifest: Mapping[str, Any]) -> Mapping[str, str]:
    return manifest["metadata"].get("annotations") or {}


def _template_revision(workload: Mapping[str, Any]) -> str:
    return str(_annotations(workload["spec"]["template"]).get(REVISION, ""))


def _all(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> Iterator[_Found]:
    yield from _compare(wanted, live, _Found("", (), wanted, live))
    yield from _added(wanted, live)


def _compare(wanted: Any, live: Any, here: _Found) -> Iterator[_Found]:
    if wanted is None or (_empty(wanted) and _empty(live)):
        return
    if isinstance(wanted, dict):
        if not isinstance(live, dict) or _empty(wanted) != _empty(live):
            # A map of empty values only is empty too.
            if not (_empty(live) and all(_empty(value) for value in wanted.values())):
                yield replace(here, wanted=wanted, live=live)
            return
        for key, value in wanted.items():
            found = live.get(key)
            # Most fields are equal texts: skipping them here avoids an object for each.
            if not (isinstance(value, str) and value == found):
                yield from _compare(value, found, _below(here, key, value, found))
    elif isinstance(wanted, list | tuple):
        yield from _compare_lists(wanted, live, here)
    elif not _same(wanted, live, here.at):
        yield replace(here, wanted=wanted, live=live)


def _compare_lists(wanted: Sequence[Any], live: Any, here: _Found) -> Iterator[_Found]:
    if not isinstance(live, list):
        yield here
        return
    name = _name_of([*wanted, *live], [wanted, live])
    if name is None:
        if len(wanted) != len(live):
            yield here
            return
        for index, (one, other) in enumerate(zip(wanted, live, strict=True)):
            yield from _compare(one, other, _Found(f"{here.path}[{index}]", (*here.at, index), one, other))
        return
    places = {item[name]: index for index, item in enumerate(live)}
    for item in wanted:
        path = f"{here.path}[{item[name]}]"
        if item[name] in places:
            index = places.pop(item[name])
            yield from _compare(item, live[index], _Found(path, (*here.at, index), item, live[index]))
        else:
            yield _Found(path, (*here.at, str(item[name])), item, None)
    # A list that must not become empty (a Service's ports) gets its first wanted item in place of another.
    instead = wanted[0] if wanted and len(places) == len(live) else None
    for label, index in places.items():
        at = (*here.at, index)
        yield _Found(f"{here.path}[{label}]", at, None if index else instead, live[index], surplus=True)


def _name_of(items: Sequence[Any], lists: Sequence[Sequence[Any]]) -> str | None:
    if not all(isinstance(item, dict) for item in items):
        return None
    for name in _NAMES:
        if all(name in item for item in items) and all(len({item[name] for item in one}) == len(one) for one in lists):
            return name
    return None


def _added(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> Iterator[_Found]:
    """Find fields that are set and not wanted: old ones of ours, and others' outside of what they may write."""
    if live.get("kind") == "PersistentVolumeClaim":
        # The volume's provisioner writes into its spec.
        return
    for manager in managers(live):
        if manager.ours and not manager.applies:
            continue
        for at in sorted(_unwanted(manager.fields, wanted, live, ()), key=len):
            # Other tools label and annotate.
            if not manager.ours and (at[0] == "metadata" or not _FILLED_IN.isdisjoint(map(str, at))):
                continue
            yield _Found(_display(live, at), at, None, _at(live, at), surplus=not manager.ours)


def _unwanted(fields: Mapping[str, Any], wanted: Any, live: Any, at: Location) -> Iterator[Location]:
    """Find the ``fields`` of a manager in ``live`` that ``wanted`` does not name; the comparison covers the rest.

    The order is that of :func:`titan_operator.compare.field_owners.owned`. Both are walked together: this is most of
    the time of a calm pass.
    """
    name: str | None = None
    compared = False
    for key, below in fields.items():
        step = None if key == "." else step_of(key, live)
        if step is None:
            continue
        if isinstance(step, int):
            if not compared:
                name = _name_of([*wanted, *live], [wanted, live]) if isinstance(wanted, list) else None
                compared = True
            if name is None:
                # A list without names is compared as a whole.
                continue
            label = live[step][name]
            counterpart = next((item for item in wanted if item[name] == label), None)
        else:
            counterpart = wanted.get(step) if isinstance(wanted, dict) else None
        if counterpart is None:
            yield from owned(below, live[step], (*at, step)) if below else ((*at, step),)
        elif below:
            yield from _unwanted(below, counterpart, live[step], (*at, step))


def _below(here: _Found, key: str, wanted: Any, live: Any) -> _Found:
    return _Found(_joined(here.path, key), (*here.at, key), wanted, live)


def _joined(path: str, key: str) -> str:
    # Keys of labels and annotations hold dots themselves.
    return f"{path}[{key}]" if "/" in key or "." in key else f"{path}.{key}".lstrip(".")


def _display(live: Any, at: Location) -> str:
    path = ""
    for step in at:
        if isinstance(step, int):
            name = _name_of(live, [live])
            path += f"[{live[step][name] if name else step}]"
        else:
            path = _joined(path, step)
        live = live[step]
    return path


def _at(node: Any, at: Location) -> Any:
    for step in at:
        node = node[step]
    return node


def _pointer(at: Location) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in at)


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | dict | list | tuple) and not value)


def _same(wanted: Any, live: Any, at: Location) -> bool:
    if wanted == live and isinstance(wanted, bool) == isinstance(live, bool):
        return True
    return not _AMOUNTS.isdisjoint(step for step in at if isinstance(step, str)) and same_quantity(wanted, live)


def _shown(value: Any) -> str:
    if _empty(value):
        return _ABSENT
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
