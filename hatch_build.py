"""Build hook: compile ``protos/`` into ``services/titan/v1``.

The generated modules are never committed, so that the contract has one spelling: the ``.proto`` files.
``pip install .`` and ``pip install -e .`` both run this hook.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "titan/v1"


def compile_protos(root: Path) -> list[Path]:
    """Compile every ``.proto`` under ``protos/titan/v1`` to message modules with type stubs.

    Parameters
    ----------
    root
        The repository, holding ``protos/`` and ``services/``.

    Returns
    -------
    list of Path
        The written files, relative to ``root``.

    Raises
    ------
    RuntimeError
        When ``protoc`` refuses a file; its own message has already gone to standard error.
    """
    from grpc_tools import protoc  # only the build needs it

    sources = sorted((root / "protos" / PACKAGE).glob("*.proto"))
    target = root / "services" / PACKAGE
    target.mkdir(parents=True, exist_ok=True)
    for stale in target.glob("*_pb2.py*"):
        stale.unlink()
    out = root / "services"
    arguments = ["protoc", f"-I{root / 'protos'}", f"--python_out={out}", f"--pyi_out={out}", *map(str, sources)]
    if protoc.main(arguments) != 0:
        raise RuntimeError(f"protoc refused one of {[source.name for source in sources]}")
    (target / "__init__.py").write_text('"""The wire contract, generated from protos/titan/v1 at build time."""\n')
    return sorted(path.relative_to(root) for path in target.iterdir() if path.suffix in (".py", ".pyi"))


class ProtoBuildHook(BuildHookInterface[Any]):
    """Runs :func:`compile_protos` before each wheel, editable or not."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the protos and add the result to the wheel, although Git ignores it."""
        written = compile_protos(Path(self.root))
        build_data["artifacts"] += [f"/{path}" for path in written]


if __name__ == "__main__":
    for written in compile_protos(Path(__file__).parent):
        print(written)
