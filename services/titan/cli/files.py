"""Input files of commands: read, decoded and parsed, with every failure as bad input that names the file."""

from __future__ import annotations

from pathlib import Path

from titan.cli.errors import BadInput


def read_bytes(path: Path) -> bytes:
    """Read a file; :class:`BadInput` where that fails."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}") from error


def read_text(path: Path) -> str:
    """Read a file of UTF-8 text and keep its line ends; :class:`BadInput` where that fails."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: byte {error.start} is not UTF-8") from error


def parse_yaml(path: Path, text: str) -> list[object]:
    """Parse the YAML documents of a file's text; :class:`BadInput` where that fails."""
    from titan_operator.api.yaml_strict import YamlError, load_documents

    try:
        return load_documents(text)
    except YamlError as error:
        raise BadInput(f"{path}: {error}") from error
