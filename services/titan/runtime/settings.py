"""Settings of a process: from flags, environment variables and files, typed, with one sentence for an error.

Each field may come from the flag ``--field-name``, the variable ``TITAN_FIELD_NAME``, or the file whose path is in
``TITAN_FIELD_NAME_FILE`` (for secrets); a flag wins over a variable, a variable over a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

PREFIX = "TITAN_"


class SettingsError(ValueError):
    """A setting is missing or wrong; the message is one sentence for a person."""


class ProcessSettings(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Settings of every process; each process adds its own.

    ``grpc_port`` 0 serves no gRPC. ``peers`` maps roles to ``host:port``. ``identity`` ``plain`` turns mTLS off for
    benchmarks: loopback only, and the caller then states its role itself.
    """

    role: str
    http_port: int
    state_dir: str
    grpc_port: int = 0
    bind: str = "127.0.0.1"
    tls_dir: str = ""
    identity: Literal["mtls", "plain"] = "mtls"
    peers: dict[str, str] = {}
    policy_file: str = ""
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


SettingsType = TypeVar("SettingsType", bound=ProcessSettings)


def _shape(value: str, hint: object) -> object:
    """Bring a string into the shape of the field's type; msgspec validates its content."""
    origin = get_origin(hint)
    if origin is dict:
        pairs = [part.partition("=") for part in value.split(",") if part]
        return {key.strip(): content.strip() for key, separator, content in pairs if separator}
    if origin in (list, tuple):
        return [part.strip() for part in value.split(",") if part.strip()]
    if hint is bool:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(value.lower(), value)
    return value


def _flags(argv: Sequence[str], names: Mapping[str, object]) -> dict[str, str]:
    flags: dict[str, str] = {}
    words = iter(argv)
    for word in words:
        name, separator, value = word.partition("=")
        field = name.removeprefix("--").replace("-", "_")
        if not name.startswith("--") or field not in names:
            allowed = ", ".join(f"--{known.replace('_', '-')}" for known in names)
            raise SettingsError(f"flag {word!r} is not known; allowed are {allowed}")
        if not separator:
            value = next(words, "")
            if not value:
                raise SettingsError(f"flag {name} needs a value")
        flags[field] = value
    return flags


def load_settings(kind: type[SettingsType], argv: Sequence[str], environ: Mapping[str, str]) -> SettingsType:
    """Read and check the settings of a process.

    Parameters
    ----------
    kind
        The settings class of the process.
    argv
        Flags, without the program's name.
    environ
        Environment variables.

    Raises
    ------
    SettingsError
        One sentence that names the setting, its value and what is allowed.
    """
    hints = get_type_hints(kind)
    flags = _flags(argv, hints)
    raw: dict[str, object] = {}
    for field, hint in hints.items():
        variable = PREFIX + field.upper()
        if field in flags:
            value = flags[field]
        elif variable in environ:
            value = environ[variable]
        elif f"{variable}_FILE" in environ:
            path = Path(environ[f"{variable}_FILE"])
            try:
                value = path.read_text(encoding="utf-8").rstrip("\n")
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"{variable}_FILE: {str(path)!r} cannot be read: {error}") from error
        else:
            continue
        raw[field] = _shape(value, hint)
    for field in kind.__struct_fields__:
        required = field not in raw and field in _required(kind)
        if required:
            raise SettingsError(f"{field} is missing; set {PREFIX}{field.upper()} or --{field.replace('_', '-')}")
    try:
        settings = msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(_explain(error, raw, hints)) from error
    _check(settings)
    return settings


def _required(kind: type[ProcessSettings]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(kind) if field.required}


def _explain(error: msgspec.ValidationError, raw: Mapping[str, object], hints: Mapping[str, object]) -> str:
    message = str(error)
    field = message.rpartition("`$.")[2].rstrip("`").partition("[")[0] if "`$." in message else ""
    problem = message.partition(" - at")[0]
    allowed = (
        f"; allowed: {', '.join(map(str, get_args(hints[field])))}" if get_origin(hints.get(field)) is Literal else ""
    )
    return f"{field or 'settings'}: {raw.get(field, '')!r} is not allowed: {problem}{allowed}"


def _check(settings: ProcessSettings) -> None:
    for field in ("grpc_port", "http_port"):
        port = getattr(settings, field)
        if not 0 <= port <= 65535:
            raise SettingsError(f"{field}: {port} is no port; allowed are 0 to 65535")
    if settings.identity == "plain" and settings.bind not in ("127.0.0.1", "::1"):
        raise SettingsError(f"identity: 'plain' is for benchmarks on loopback, and bind is {settings.bind!r}")
    if settings.identity == "mtls" and not settings.tls_dir:
        raise SettingsError("tls_dir is missing; it holds ca.pem, cert.pem and key.pem of this process")
    for role, address in settings.peers.items():
        host, _, port_text = address.rpartition(":")
        if not host or not port_text.isdigit():
            raise SettingsError(f"peers: {role}={address!r} is not host:port")
    if not Path(settings.state_dir).is_dir():
        raise SettingsError(f"state_dir: {settings.state_dir!r} is no folder")
