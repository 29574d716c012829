"""Identity of this process: its certificate, key and trust, in files that are replaced while it runs.

``cryptography`` is not needed for it: OpenSSL checks, through the standard library, that key and certificate belong
together.
"""

from __future__ import annotations

import os
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from titan.runtime.pki.certificates import CA_FILE, CERTIFICATE_FILE, KEY_FILE

# A process checks this often whether its files were replaced, which happens at half of their validity.
RELOAD_PERIOD_S = 2.0
# At the start a writer may be replacing the files.
_START_TRIES = 100
_START_PAUSE_S = 0.01

_FILES = (KEY_FILE, CERTIFICATE_FILE, CA_FILE)
_Stamp = tuple[tuple[int, int, int], ...]


class IdentityUnreadableError(OSError):
    """The files of an identity cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class Identity:
    """A key with its certificate, and the authorities that are trusted; all PEM."""

    key: bytes
    certificate: bytes
    authorities: bytes


class IdentityFiles:
    """Reads ``key.pem``, ``cert.pem`` and ``ca.pem`` of a folder, again whenever they were replaced.

    The files count only when key and certificate belong together: in the middle of a replacement (two renames
    here, a swapped link in a cluster) the identity of before stays.

    Attributes
    ----------
    problem
        Cause for which the files could not be read at the last check; empty when they could. Until then the identity
        of before stays.

    Raises
    ------
    IdentityUnreadableError
        At construction, when there is no usable identity.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.problem = ""
        self._stamp, self._identity = self._first()

    @property
    def now(self) -> Identity:
        """The newest identity that was whole; the same object until it is replaced."""
        stamp = self._stat()
        if stamp is not None and stamp != self._stamp:
            identity = self._read()
            # Unchanged bytes in new files are no new identity.
            if identity is not None:
                self._stamp = stamp
                if identity != self._identity:
                    self._identity = identity
        elif stamp is not None:
            self.problem = ""
        return self._identity

    def _first(self) -> tuple[_Stamp, Identity]:
        for _ in range(_START_TRIES):
            stamp = self._stat()
            if stamp is None:
                break
            identity = self._read()
            if identity is not None:
                return stamp, identity
            time.sleep(_START_PAUSE_S)
        missing = [name for name in _FILES if not (self._directory / name).exists()]
        problem = f"missing: {', '.join(missing)}" if missing else self.problem
        raise IdentityUnreadableError(f"tls_dir: {str(self._directory)!r} holds no identity; {problem}")

    def _stat(self) -> _Stamp | None:
        try:
            stats = [os.stat(self._directory / name) for name in _FILES]  # noqa: PTH116 - three calls a handshake
        except OSError as error:
            self.problem = f"{error.filename}: {error.strerror}"
            return None
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in stats)

    def _read(self) -> Identity | None:
        """Key, certificate and trust of one moment; None in the middle of a replacement."""
        try:
            before = self._bytes()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            # With an empty password an encrypted key is refused instead of prompting for one.
            context.load_cert_chain(self._directory / CERTIFICATE_FILE, self._directory / KEY_FILE, password="")
            after = self._bytes()
        except ssl.SSLError as error:
            self.problem = f"{KEY_FILE} and {CERTIFICATE_FILE} do not match: {error.reason or error}"
            return None
        except OSError as error:
            self.problem = f"{error.filename}: {error.strerror}"
            return None
        if before != after:
            self.problem = "replaced while it was read"
            return None
        self.problem = ""
        return Identity(*before)

    def _bytes(self) -> tuple[bytes, bytes, bytes]:
        key, certificate, authorities = ((self._directory / name).read_bytes() for name in _FILES)
        return key, certificate, authorities


def server_credentials(files: IdentityFiles) -> grpc.ServerCredentials:
    """Return credentials that require a certificate of the stack's own CA; each handshake presents our newest."""
    shown = files.now

    def configuration() -> Any:
        return grpc.ssl_server_certificate_configuration([(shown.key, shown.certificate)], shown.authorities)

    def newer() -> Any:
        # On a thread of gRPC's, at each handshake; None keeps what there is.
        nonlocal shown
        identity = files.now
        if identity is shown:
            return None
        shown = identity
        return configuration()

    return grpc.dynamic_ssl_server_credentials(configuration(), newer, require_client_authentication=True)


def channel_credentials(identity: Identity) -> grpc.ChannelCredentials:
    """Return credentials that present our certificate and trust the stack's own CA only."""
    return grpc.ssl_channel_credentials(identity.authorities, identity.key, identity.certificate)
