"""Readers of YAML text and live objects. A problem names file, document, field, value and what is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from titan.domain.policy_rules import WordRule, shown, spelled
from titan_operator.api.resources import API_VERSION, ROLES, Metadata, Resource, RiskPolicy, TitanPhase
from titan_operator.api.yaml_strict import YamlError, load_documents

_KINDS: dict[str, type[RiskPolicy] | type[TitanPhase]] = {"RiskPolicy": RiskPolicy, "TitanPhase": TitanPhase}


class ResourceError(ValueError):
    """The YAML holds no valid resources. ``problems`` has every sentence; the message is the first and their count."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        more = len(self.problems) - 1
        super().__init__(self.problems[0] + (f" (and {more} more)" if more else ""))


def load_resources(text: str, source: str) -> list[Resource]:
    """Read every document of a YAML text.

    Parameters
    ----------
    source
        The file's name, for messages.

    Raises
    ------
    ResourceError
        With every problem of every document.
    """
    try:
        documents = load_documents(text)
    except YamlError as error:
        raise ResourceError([f"{source}: {error}"]) from error
    if not documents:
        raise ResourceError([f"{source}: no document; allowed are resources of {API_VERSION}"])
    resources: list[Resource] = []
    problems: list[str] = []
    for number, document in enumerate(documents, 1):
        where = f"{source}: document {number}" if len(documents) > 1 else source
        try:
            resources.append(read_resource(document, where))
        except ResourceError as error:
            problems += error.problems
    if problems:
        raise ResourceError(problems)
    return resources


def read_live(document: Mapping[str, Any]) -> Resource:
    """Read a live RiskPolicy or TitanPhase.

    The server's fields in metadata (uid, generation, managedFields, …) and the status are ignored; spec is read as
    strictly as a file's, for an object may be older than the CRD's rules.

    Raises
    ------
    ResourceError
        With every problem, each beginning with the kind and name.
    """
    metadata = {key: item for key, item in document["metadata"].items() if key in Metadata.spellings()}
    kept = {key: document[key] for key in ("apiVersion", "kind", "spec") if key in document}
    return read_resource({**kept, "metadata": metadata}, "")


def read_resource(document: object, where: str) -> Resource:
    """Read one decoded document; ``where`` begins its messages, where it is not empty.

    Raises
    ------
    ResourceError
        With every problem of the document.
    """
    where = f"{where}: " if where else ""
    if not isinstance(document, dict):
        raise ResourceError([f"{where}{spelled(document)}; allowed is an object of apiVersion, kind, metadata, spec"])
    kind = document.get("kind")
    model = _KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        stated = spelled(kind) if "kind" in document else "missing"
        raise ResourceError([f"{where}kind: {stated}; allowed is {WordRule(tuple(_KINDS), '').allowed}"])
    try:
        return model.model_validate(document)
    except ValidationError as error:
        begin = f"{where}{kind}{_name(document)}: "
        raise ResourceError([begin + sentence for sentence in _sentences(error)]) from error


def _name(document: dict[str, object]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f" {shown(name)}" if isinstance(name, str) else ""


def _sentences(error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False):
        # pydantic's path has the branch of the union; the field path of the YAML does not.
        branch = detail["loc"][:1] == ("spec",) and detail["loc"][1:2] and detail["loc"][1] in ROLES
        path = ".".join(map(str, ("spec", *detail["loc"][2:]) if branch else detail["loc"]))
        at = detail.get("ctx", {}).get("at")
        path = ".".join(part for part in (path, at) if part)
        if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
            path += ".role"
        if detail["type"] == "titan_rules":
            yield from (f"{path.removesuffix('rules')}{problem}" for problem in detail["ctx"]["problems"])
        else:
            yield f"{path}: {_problem_of(detail)}" if path else _problem_of(detail)


def _problem_of(detail: ErrorDetails) -> str:
    if detail["type"] == "missing":
        return "missing; it is required"
    if detail["type"] == "titan":
        return str(detail["ctx"]["problem"])
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        value = detail["input"]
        role = spelled(value["role"]) if isinstance(value, dict) and "role" in value else "missing"
        return f"{role}; allowed is {WordRule(ROLES, '').allowed}"
    # Every field is read by a rule of ours; only pydantic's own problems remain.
    return f"{spelled(detail['input'])}; {detail['msg']}"
