"""``policy pin --files``: the pins in files, for Git; nothing else of a file changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from titan.cli.cluster.policy_edit import pin_of
from titan.cli.errors import BadInput, Refused
from titan.cli.files import parse_yaml, read_text
from titan_operator.api.yaml_strict import load_documents


@dataclass(frozen=True)
class Change:
    """A file with changed pins: its new text, and the phases that change."""

    path: Path
    text: str
    phases: tuple[str, ...]


def pin_files(folder: Path, name: str, *, dry_run: bool) -> tuple[dict[str, str], list[Change]]:
    """Write name and hash of a policy of the folder into every TitanPhase of it that trades.

    Every file is read and checked before the first is written.

    Raises
    ------
    BadInput
        When the folder or a file of it cannot be read.
    Refused
        When the folder has no such policy, or its hash is not that of its rules.
    """
    texts = _texts(folder)
    reference = _pin(folder, name, texts)
    changes = [change for path, text in texts.items() if (change := _changed(path, text, reference)).phases]
    if not dry_run:
        for change in changes:
            change.path.write_text(change.text, encoding="utf-8")
    return reference, changes


def _texts(folder: Path) -> dict[Path, str]:
    if not folder.is_dir():
        raise BadInput(f"--files: {folder} is no directory; allowed is a directory of YAML files")
    texts: dict[Path, str] = {}
    for path in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")]):
        texts[path] = read_text(path)
        parse_yaml(path, texts[path])
    return texts


def _pin(folder: Path, name: str, texts: dict[Path, str]) -> dict[str, str]:
    for text in texts.values():
        for document in _resources(text, "RiskPolicy"):
            if document["metadata"].get("name") == name:
                try:
                    return pin_of(document)
                except BadInput as error:
                    raise Refused(str(error)) from error
    raise Refused(f"--files: {folder} holds no RiskPolicy {name}; the pinned policy must be in the same directory")


def _resources(text: str, kind: str) -> list[Any]:
    documents: list[Any] = load_documents(text)
    return [one for one in documents if isinstance(one, dict) and one.get("kind") == kind and "name" in _metadata(one)]


def _metadata(document: dict[str, Any]) -> dict[str, Any]:
    metadata = document.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _changed(path: Path, text: str, reference: dict[str, str]) -> Change:
    # Nodes carry their position in the text, so that comments, order and quotes of the rest stay.
    edits: list[tuple[int, int, str]] = []
    phases: list[str] = []
    for document in yaml.compose_all(text, yaml.SafeLoader):
        pin = _at(document, "spec", "policyRef")
        if _text(_at(document, "kind")) != "TitanPhase" or pin is None:
            continue
        phase = _text(_at(document, "metadata", "name"))
        now = {key: _at(pin, key) for key in reference}
        for key, node in now.items():
            if not isinstance(node, yaml.ScalarNode):
                raise BadInput(f"{path}: TitanPhase {phase}: spec.policyRef.{key}: missing; allowed are name and hash")
            if node.value != reference[key]:
                edits.append((node.start_mark.index, node.end_mark.index, reference[key]))
        if {key: _text(node) for key, node in now.items()} != reference:
            phases.append(phase)
    for start, end, value in sorted(edits, reverse=True):
        text = text[:start] + value + text[end:]
    return Change(path, text, tuple(phases))


def _at(node: yaml.Node | None, *path: str) -> yaml.Node | None:
    for key in path:
        if not isinstance(node, yaml.MappingNode):
            return None
        node = next((value for name, value in node.value if name.value == key), None)
    return node


def _text(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""
