"""The stack's own certificate authority, as files, for the local processes of ``titan up``.

:mod:`titan.runtime.pki.certificates` makes their content. Keys are readable by their owner only.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from titan.runtime.pki.certificates import (
    CA_FILE,
    CA_KEY_FILE,
    CERTIFICATE_FILE,
    KEY_FILE,
    LEAF_VALIDITY,
    Authority,
    IdentityError,
    Leaf,
    issue_leaf,
    leaf_is_good,
    make_authority,
)

_MODES = {KEY_FILE: 0o600, CA_FILE: 0o644, CERTIFICATE_FILE: 0o644}


def ensure_ca(directory: Path, *, now: datetime | None = None) -> Authority:
    """Read the authority in ``directory``, or make one there.

    Parameters
    ----------
    directory
        Holds ``ca.pem`` and ``ca.key.pem``; created (mode 0700) when absent.
    now
        Time of the machine; for tests.

    Raises
    ------
    IdentityError
        When one of the two files is there without the other, unreadable or not a matching pair: a new authority
        beside old certificates would lock the running stack out of itself.
    OSError
        When the directory cannot be written.
    """
    now = now or datetime.now(UTC)
    certificate_path, key_path = directory / CA_FILE, directory / CA_KEY_FILE
    present = [path for path in (certificate_path, key_path) if path.exists()]
    if len(present) == 1:
        missing = key_path if present[0] == certificate_path else certificate_path
        raise IdentityError(
            f"{missing}: missing beside {present[0].name}; remove the directory to make a new authority"
        )
    if present:
        try:
            authority = Authority.read(certificate_path.read_bytes(), key_path.read_bytes())
        except IdentityError as error:
            raise IdentityError(f"{directory}{os.sep}{error}") from error
        if not authority.ends_soon(now):
            return authority
    authority = make_authority(now)
    _make_directory(directory)
    _write(key_path, authority.key_pem, 0o600)
    _write(certificate_path, authority.certificate_pem, 0o644)
    return authority


def issue(
    authority: Authority,
    role: str,
    stack: str,
    directory: Path,
    *,
    now: datetime | None = None,
    lifetime: timedelta = LEAF_VALIDITY,
) -> bool:
    """Put a certificate of ``role`` with its key and the authority's certificate into ``directory``.

    A present certificate is kept while it is of this authority, role and stack, lasts no longer than ``lifetime``, and
    has at least half its time left.
    A process that reads between the writes finds a key and a certificate that do not match, and reads again.

    Returns
    -------
    bool
        Whether a new certificate was made.

    Raises
    ------
    ValueError
        When ``role`` or ``stack`` is no DNS label.
    OSError
        When the directory cannot be written.
    """
    now = now or datetime.now(UTC)
    present = read_leaf(directory)
    if present is not None and leaf_is_good(authority, role, stack, present, now, lifetime):
        return False
    leaf = issue_leaf(authority, role, stack, now, lifetime)
    _make_directory(directory)
    for name, content in leaf.files().items():
        _write(directory / name, content, _MODES[name])
    return True


def read_leaf(directory: Path) -> Leaf | None:
    """Return the certificate in ``directory``; None without a usable one."""
    try:
        return Leaf.read({name: (directory / name).read_bytes() for name in _MODES})
    except FileNotFoundError:
        return None


def _make_directory(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace ``path`` in one step; the mode is that of the file's first byte on, not set afterwards."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    temporary.replace(path)
