"""Address of the API server and identity to it: a pod's ServiceAccount, or a KUBECONFIG."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from titan_operator.cluster.errors import CredentialsError
from titan_operator.cluster.exec_plugin import exec_credential

SERVICE_ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_DIR_ENV = "TITAN_SERVICE_ACCOUNT_DIR"


@dataclass(frozen=True)
class Connection:
    """One API server and one identity. Printing it shows no secret.

    Parameters
    ----------
    server
        ``https://host:port``, with a path prefix where a proxy has one.
    source
        Origin of the connection, for messages.
    namespace
        The pod's own namespace, or that of the KUBECONFIG's context; empty if it names none.
    ca_pem
        Authorities that may sign the server's certificate; empty for the system's.
    insecure
        Accept any server certificate (``insecure-skip-tls-verify``).
    token_file
        Read for every call: the kubelet replaces the token long before it expires.
    certificate_pem, private_key_pem
        Client certificate; empty if there is none.
    """

    server: str
    source: str
    namespace: str = ""
    ca_pem: str = field(default="", repr=False)
    insecure: bool = False
    token_file: Path | None = None
    token: str = field(default="", repr=False)
    certificate_pem: str = field(default="", repr=False)
    private_key_pem: str = field(default="", repr=False)

    def bearer(self) -> str:
        """Return the present token; empty where a client certificate is the identity.

        Raises
        ------
        CredentialsError
            The token file cannot be read.
        """
        if self.token_file is None:
            return self.token
        try:
            return self.token_file.read_text().strip()
        except OSError as error:
            raise CredentialsError(
                f"{self.source}: token file {self.token_file} cannot be read: {error.strerror}"
            ) from error

    def ssl_context(self) -> ssl.SSLContext:
        """Return a TLS context that verifies the server and presents the client certificate.

        Raises
        ------
        CredentialsError
            A certificate or key is not valid PEM.
        """
        try:
            context = ssl.create_default_context(cadata=self.ca_pem or None)
            if self.insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self.certificate_pem:
                # The ssl module takes a key from files only.
                with tempfile.TemporaryDirectory() as folder:
                    certificate, key = Path(folder, "cert.pem"), Path(folder, "key.pem")
                    certificate.write_text(self.certificate_pem)
                    key.write_text(self.private_key_pem)
                    context.load_cert_chain(certificate, key)
        except ssl.SSLError as error:
            raise CredentialsError(
                f"{self.source}: certificate or key cannot be used: {error.reason or error}"
            ) from error
        return context


def kopf_fields(connection: Connection) -> dict[str, Any]:
    """Return the arguments of ``kopf.ConnectionInfo`` for the same server and identity, with the present token.

    Raises
    ------
    CredentialsError
        The token file cannot be read.
    """
    fields = {
        "server": connection.server,
        "ca_data": connection.ca_pem or None,
        "insecure": connection.insecure or None,
        "token": connection.bearer() or None,
        "certificate_data": connection.certificate_pem or None,
        "private_key_data": connection.private_key_pem or None,
        "default_namespace": connection.namespace or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def load(environ: Mapping[str, str] = os.environ, *, context: str = "") -> Connection:
    """Return the pod's own connection inside a cluster, else that of the KUBECONFIG.

    Raises
    ------
    CredentialsError
        There is neither, or it cannot be used.
    """
    if "KUBERNETES_SERVICE_HOST" in environ and not context:
        return in_cluster(environ)
    return from_kubeconfig(environ, context=context)


def in_cluster(environ: Mapping[str, str] = os.environ) -> Connection:
    """Return the connection of a pod's ServiceAccount.

    Parameters
    ----------
    environ
        ``KUBERNETES_SERVICE_HOST`` and ``_PORT`` are the server's address; ``TITAN_SERVICE_ACCOUNT_DIR`` is the folder
        of the token, if it is not the one that the kubelet mounts.

    Raises
    ------
    CredentialsError
        A variable or a file is missing.
    """
    folder = Path(environ.get(_DIR_ENV) or SERVICE_ACCOUNT_DIR)
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise CredentialsError("KUBERNETES_SERVICE_HOST is empty: this process runs in no pod")
    namespace = folder / "namespace"
    connection = Connection(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        source=f"ServiceAccount of {folder}",
        namespace=_read(namespace, "in-cluster credentials") if namespace.exists() else "",
        ca_pem=_read(folder / "ca.crt", "in-cluster credentials"),
        token_file=folder / "token",
    )
    connection.bearer()
    return connection


def from_kubeconfig(environ: Mapping[str, str] = os.environ, *, context: str = "") -> Connection:
    """Return the connection of a KUBECONFIG's context.

    Parameters
    ----------
    environ
        ``KUBECONFIG``: files, separated as PATH is, of which the first that has an entry wins; ``~/.kube/config`` if it
        is empty.
    context
        Name of the context; empty for ``current-context``.

    Raises
    ------
    CredentialsError
        A file, the context, its cluster or its user is missing or has an unsupported field.
    """
    listed = [Path(part) for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    files = [path for path in listed or [Path.home() / ".kube" / "config"] if path.exists()]
    if not files:
        where = ", ".join(map(str, listed)) or "~/.kube/config"
        raise CredentialsError(f"no cluster: not inside a pod, and KUBECONFIG {where} does not exist")
    documents = [(_document(path), path) for path in files]
    source = f"KUBECONFIG {', '.join(map(str, files))}"
    chosen = context or next(
        (str(found) for document, _ in documents if (found := document.get("current-context"))), ""
    )
    if not chosen:
        raise CredentialsError(f"{source}: current-context is empty and no context was named")
    found, _ = _entry(documents, "contexts", "context", chosen, source)
    cluster, cluster_dir = _entry(documents, "clusters", "cluster", str(found.get("cluster", "")), source)
    user, user_dir = _entry(documents, "users", "user", str(found.get("user", "")), source)
    for name, where, value in (
        ("proxy-url", "cluster", cluster),
        ("tls-server-name", "cluster", cluster),
        ("auth-provider", "user", user),
    ):
        if value.get(name):
            raise CredentialsError(f"{source}: {where}.{name} is not supported")
    server = str(cluster.get("server", "")).rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise CredentialsError(f"{source}: cluster.server: {server!r} is no http or https address")
    token, certificate, key = (
        str(user.get("token", "")),
        _pem(user, "client-certificate", user_dir, source),
        _pem(user, "client-key", user_dir, source),
    )
    if "exec" in user:
        token, certificate, key = exec_credential(user["exec"], user_dir, environ, source)
    token_file = user_dir / user["tokenFile"] if user.get("tokenFile") else None
    if bool(certificate) != bool(key):
        raise CredentialsError(
            f"{source}: user {found.get('user')!r} has only one of client-certificate and client-key"
        )
    if not (token or token_file or certificate):
        raise CredentialsError(
            f"{source}: user {found.get('user')!r} has no token, tokenFile, client-certificate or exec"
        )
    return Connection(
        server=server,
        source=f"context {chosen} of {source}",
        namespace=str(found.get("namespace") or ""),
        ca_pem=_pem(cluster, "certificate-authority", cluster_dir, source),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        token_file=token_file,
        token=token,
        certificate_pem=certificate,
        private_key_pem=key,
    )


def _document(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(_read(path, "KUBECONFIG"))
    except yaml.YAMLError as error:
        # The parser's own message quotes the file, and with it secrets.
        raise CredentialsError(f"KUBECONFIG {path} is no valid YAML") from error
    if not isinstance(document, dict):
        raise CredentialsError(f"KUBECONFIG {path} holds no mapping")
    return document


def _entry(
    documents: list[tuple[dict[str, Any], Path]], section: str, key: str, name: str, source: str
) -> tuple[dict[str, Any], Path]:
    """Return the named entry and the folder that its relative paths start from."""
    for document, path in documents:
        for entry in document.get(section) or ():
            if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(key), dict):
                return entry[key], path.parent
    raise CredentialsError(f"{source}: {section} has no {name!r}")


def _pem(entry: Mapping[str, Any], name: str, folder: Path, source: str) -> str:
    if data := entry.get(f"{name}-data"):
        try:
            return base64.b64decode(str(data), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise CredentialsError(f"{source}: {name}-data is no base64 of PEM") from error
    return _read(folder / str(entry[name]), f"{source}: {name}") if entry.get(name) else ""


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no text"
        raise CredentialsError(f"{what}: {path} cannot be read: {why}") from error
