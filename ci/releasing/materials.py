"""Parts of an image and the materials of its build, for its bill of materials and its provenance."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote
from uuid import UUID

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from releasing.commands import key_of, run, sha256
from releasing.source import Source

_STATUS = "var/lib/dpkg/status"


@dataclass(frozen=True, order=True)
class Material:
    """One package.

    Parameters
    ----------
    kind
        As package URLs name it: ``pypi``, ``deb`` or ``golang``.
    sha256
        Of the file that it came in, where it is known.
    """

    kind: str
    name: str
    version: str
    sha256: str = ""

    def purl(self) -> PackageURL:
        """Its package URL."""
        if self.kind == "deb":
            return PackageURL("deb", "debian", self.name, self.version)
        if self.kind == "golang":
            path, _, name = self.name.rpartition("/")
            return PackageURL("golang", path, name, self.version)
        return PackageURL("pypi", None, self.name, self.version)


def materials(context: Path, layers: Iterable[Path]) -> list[Material]:
    """Everything in an image: what its context holds, and what Debian's records in its layers say."""
    found = {*_wheels(context), *_packages(context), *_modules(context)}
    known = {(part.kind, part.name) for part in found}
    installed: dict[str, Material] = {}
    for layer in layers:
        # A later layer's record holds the earlier one's too.
        installed = {part.name: part for part in _installed(layer)} or installed
    return sorted(found | {part for part in installed.values() if (part.kind, part.name) not in known})


def write(path: Path, parts: Sequence[Material]) -> None:
    """Keep them beside the image."""
    path.write_text(json.dumps([asdict(part) for part in parts], indent=1))


def read(path: Path) -> list[Material]:
    """Read the file that ``write`` wrote."""
    return [Material(**part) for part in json.loads(path.read_text())]


def bill(title: str, version: str, digest: str, parts: Sequence[Material]) -> str:
    """CycloneDX 1.6 of an image, the same for the same image."""
    subject = Component(
        name=title,
        version=version,
        type=ComponentType.CONTAINER,
        bom_ref=digest,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest.removeprefix("sha256:"))],
    )
    components = [
        Component(
            name=part.name,
            version=part.version,
            type=ComponentType.LIBRARY,
            bom_ref=part.purl().to_string(),
            purl=part.purl(),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)] if part.sha256 else [],
        )
        for part in parts
    ]
    serial = UUID(key_of(digest))
    bom = Bom(components=components, metadata=BomMetaData(component=subject), serial_number=serial)
    bom.register_dependency(subject, components)
    outputter = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6)
    document = json.loads(outputter.output_as_string())
    # The time of writing is no property of an image.
    document["metadata"].pop("timestamp", None)
    return json.dumps(document, indent=1, sort_keys=True)


def provenance(target: str, state: Source, base: str, builder: str, parts: Sequence[Material]) -> str:
    """SLSA's provenance, version 1: of which commit, on which base, from which files, by whom.

    ``base`` is a name with its digest; ``builder`` a URI of who ran the build.
    """
    commit, _, dirty = state.revision.partition("-")
    files = [{"uri": part.purl().to_string(), "digest": {"sha256": part.sha256}} for part in parts if part.sha256]
    name, _, digest = base.partition("@sha256:")
    sources = [{"name": "source", "digest": {"gitCommit": commit}}, {"name": name, "digest": {"sha256": digest}}]
    definition = {
        "buildType": "urn:titan:build:dockerfile:v1",
        "externalParameters": {
            "dockerfile": "images/Dockerfile",
            "target": target,
            "sourceDateEpoch": state.epoch_s,
            "filesNotCommitted": bool(dirty),
        },
        "resolvedDependencies": sources + files,
    }
    return json.dumps({"buildDefinition": definition, "runDetails": {"builder": {"id": builder}}}, indent=1)


def _wheels(context: Path) -> Iterator[Material]:
    for wheel in context.glob("wheels/*.whl"):
        name, version = wheel.name.split("-")[:2]
        # Runs in the build only.
        if name != "pip":
            yield Material("pypi", name.lower().replace("_", "-"), version, sha256(wheel))


def _packages(context: Path) -> Iterator[Material]:
    for package in context.glob("packages/*.deb"):
        name, version = package.name.split("_")[:2]
        yield Material("deb", name, unquote(version), sha256(package))


def _modules(context: Path) -> Iterator[Material]:
    program = context / "nats-server"
    if not program.exists():
        return
    for line in run("go", "version", "-m", str(program)).splitlines():
        words = line.split()
        if words[0] in {"mod", "dep"}:
            yield Material("golang", words[1], words[2], sha256(program) if words[0] == "mod" else "")


def _installed(layer: Path) -> Iterator[Material]:
    with gzip.open(layer) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as archive:
        for member in archive:
            if member.name.removeprefix("./") == _STATUS:
                file = archive.extractfile(member)
                yield from _status(file.read().decode() if file else "")
                return


def _status(text: str) -> Iterator[Material]:
    for paragraph in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status") == "install ok installed":
            yield Material("deb", fields["Package"], fields["Version"])
