"""The lock files: one resolution with hashes, of which each holds what its environment needs, and all of that."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata

import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from releasing.commands import ROOT
from releasing.context import PYTHON_IMAGES

_PIN = re.compile(r"^([a-z0-9.-]+)==(\S+)(?: ; ([^\\\n]+))?", re.MULTILINE)
_TOOLS = ("pytest", "ruff", "mypy", "import-linter", "codespell", "pre-commit", "hypothesis", "kubernetes", "uv", "pip")
_FOREIGN = (*_TOOLS, "typer", "hatchling", "grpcio-tools")
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
_GROUPS = _PROJECT["dependency-groups"]
# Where a lock is installed, and what is to run there.
_EVERYWHERE = ("3.11.7", "3.12.3", "3.13.1")
LOCKS = {
    "requirements.lock": (_EVERYWHERE, ["titan[laptop]", *_GROUPS["build"]]),
    "requirements-dev.lock": (
        _EVERYWHERE,
        [
            f"titan[{','.join(_PROJECT['project']['optional-dependencies'])}]",
            *_GROUPS["build"],
            *(wanted for wanted in _GROUPS["dev"] if isinstance(wanted, str)),
        ],
    ),
    "images/operator.lock": (("3.11.2",), ["titan[operator]"]),
    "images/services.lock": (("3.11.2",), ["titan[services]"]),
    "images/installer.lock": (("3.11.2",), ["pip"]),
}
PLACES = [(name, python) for name, (pythons, _) in LOCKS.items() for python in pythons]


@dataclass(frozen=True)
class Pin:
    """One package of a lock; a package may have one version for each of several Pythons."""

    name: str
    version: str
    marker: str
    hashes: frozenset[str]

    def holds(self, environment: Mapping[str, str]) -> bool:
        return not self.marker or Marker(self.marker).evaluate(dict(environment))


def read(text: str) -> set[Pin]:
    found = set()
    for block in re.split(r"\n(?=\S)", text):
        if pin := _PIN.match(block):
            hashes = frozenset(re.findall(r"sha256:([0-9a-f]{64})", block))
            found.add(Pin(pin[1], pin[2], (pin[3] or "").strip(), hashes))
    return found


def pins(name: str) -> set[Pin]:
    return read((ROOT / name).read_text())


def names(name: str) -> set[str]:
    return {pin.name for pin in pins(name)}


def machine(python: str) -> dict[str, str]:
    """Return the environment that markers are about, on Linux for x86_64."""
    return {
        **{name: str(value) for name, value in default_environment().items()},
        "implementation_name": "cpython",
        "implementation_version": python,
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": "linux",
    }


def installed(name: str, version: str) -> list[str] | None:
    """Return what a package requires, or None where that version of it is not installed."""
    if name == "titan":
        return metadata.requires(name)
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    return list(found.requires or ()) if found.version == version else None


def gaps(
    locked: Iterable[Pin],
    roots: Iterable[str],
    environment: Mapping[str, str],
    requires: Callable[[str, str], list[str] | None] = installed,
) -> list[str]:
    """Follow every requirement from ``roots``, extras too; return a sentence for each that the lock does not meet."""
    here = {pin.name: pin for pin in locked if pin.holds(environment)}
    found: list[str] = []
    followed: set[tuple[str, str]] = set()
    waiting = [(Requirement(root), "the root") for root in roots]
    while waiting:
        wanted, by = waiting.pop()
        name = canonicalize_name(wanted.name)
        pin = here.get(name)
        if name != "titan" and (pin is None or not wanted.specifier.contains(pin.version, prereleases=True)):
            found.append(f"{by} requires {wanted}; locked is {pin.version if pin else 'none'}")
            continue
        version = pin.version if pin else ""
        for extra in {"", *wanted.extras} - {extra for other, extra in followed if other == name}:
            followed.add((name, extra))
            waiting += [
                (requirement, f"{name} {version}".strip())
                for requirement in map(Requirement, requires(name, version) or ())
                if requirement.marker is None or _wanted(requirement.marker, environment, extra)
            ]
    found += [f"nothing requires {name}" for name in here.keys() - {name for name, _ in followed}]
    return sorted(found)


def _wanted(marker: Marker, environment: Mapping[str, str], extra: str) -> bool:
    return marker.evaluate({**environment, "extra": extra})


@pytest.mark.parametrize(("name", "python"), PLACES)
def test_every_requirement_is_locked(name: str, python: str) -> None:
    assert gaps(pins(name), LOCKS[name][1], machine(python)) == []


@pytest.mark.parametrize("name", [name for name in LOCKS if name != "images/installer.lock"])
def test_the_requirements_of_every_package_are_known(name: str) -> None:
    """Else the test before would follow nothing: the environment is that of the locks (`make dev`)."""
    environment = {key: str(value) for key, value in default_environment().items()}
    here = [pin for pin in pins(name) if pin.holds(environment)]
    assert [pin.name for pin in here if installed(pin.name, pin.version) is None] == []


TOY = {
    ("app", "1"): ["base[fast]>=1", 'windows; sys_platform == "win32"', 'old; python_version < "3.12"'],
    ("base", "1"): ['speed>=2; extra == "fast"', 'never; extra == "slow"'],
}


@pytest.mark.parametrize(
    ("description", "python", "lock", "found"),
    [
        ("complete", "3.12.3", "app==1\nbase==1\nspeed==2", []),
        ("an extra's package lacks", "3.12.3", "app==1\nbase==1", ["base 1 requires speed>=2"]),
        ("too old", "3.12.3", "app==1\nbase==1\nspeed==1", ["base 1 requires speed>=2", "nothing requires speed"]),
        ("for one Python", "3.11.7", "app==1\nbase==1\nspeed==2", ["app 1 requires old"]),
        ("its marker excludes it", "3.12.3", "app==1\nbase==1 ; sys_platform == 'win32'\n", ["app 1 requires base"]),
        ("too much", "3.12.3", "app==1\nbase==1\nspeed==2\nmore==1", ["nothing requires more"]),
    ],
)
def test_a_gap_is_found(description: str, python: str, lock: str, found: list[str]) -> None:
    said = gaps(read(lock), ["app"], machine(python), lambda name, version: TOY.get((name, version), []))
    assert len(said) == len(found), description
    assert all(sentence.startswith(begin) for sentence, begin in zip(said, found, strict=True)), said


@pytest.mark.parametrize("name", [name for name in LOCKS if name.startswith("images/") and "installer" not in name])
def test_an_image_is_a_part_of_the_whole(name: str) -> None:
    bare = {(pin.name, pin.version, pin.hashes) for pin in pins("requirements-dev.lock")}
    assert {(pin.name, pin.version, pin.hashes) for pin in pins(name)} <= bare
    assert len(pins(name)) == len(names(name))
    assert {"grpcio", "msgspec", "uvloop"} <= names(name)
    assert not set(_FOREIGN) & names(name)


def test_what_runs_is_a_part_of_the_whole() -> None:
    runs = pins("requirements.lock")
    assert runs < pins("requirements-dev.lock")
    assert {"grpcio", "typer", "numpy", "kopf", "hatchling", "grpcio-tools"} <= {pin.name for pin in runs}
    assert not set(_TOOLS) & {pin.name for pin in runs}


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_has_hashes(name: str) -> None:
    assert pins(name)
    assert [pin.name for pin in pins(name) if not pin.hashes] == []


def test_every_lock_is_known_here() -> None:
    assert {path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.lock"), *ROOT.glob("images/*.lock"))} == {
        *LOCKS
    }


def test_the_build_needs_what_is_installed_before_it() -> None:
    assert sorted(_PROJECT["build-system"]["requires"]) == sorted(_GROUPS["build"])


def test_each_image_carries_its_own() -> None:
    operator, services = (names(f"images/{image}.lock") for image in PYTHON_IMAGES)
    assert "kopf" in operator
    assert "numpy" not in operator
    assert {"numpy", "sqlalchemy", "asyncpg"} <= services
    assert "kopf" not in services
