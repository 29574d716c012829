from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from support.cluster.loopback_certificate import throw_away_certificate
from titan_operator.cluster.credentials import from_kubeconfig, in_cluster, kopf_fields, load
from titan_operator.cluster.errors import CredentialsError

_CERTIFICATE, _KEY = throw_away_certificate()


def kubeconfig(path: Path, *, user: dict[str, Any] | None = None, **cluster: Any) -> dict[str, str]:
    """Write a KUBECONFIG with one context and return the environment that names it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "home",
                "contexts": [{"name": "home", "context": {"cluster": "c", "user": "u", "namespace": "trading"}}],
                "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443", **cluster}}],
                "users": [{"name": "u", "user": {"token": "t0ken"} if user is None else user}],
            }
        )
    )
    return {"KUBECONFIG": str(path)}


def service_account(folder: Path) -> dict[str, str]:
    for name, content in (("token", "t0ken\n"), ("ca.crt", _CERTIFICATE), ("namespace", "titan-system")):
        (folder / name).write_text(content)
    return {
        "KUBERNETES_SERVICE_HOST": "10.96.0.1",
        "KUBERNETES_SERVICE_PORT": "443",
        "TITAN_SERVICE_ACCOUNT_DIR": str(folder),
    }


def test_in_cluster(tmp_path: Path) -> None:
    connection = in_cluster(service_account(tmp_path))
    assert (connection.server, connection.namespace) == ("https://10.96.0.1:443", "titan-system")
    assert connection.bearer() == "t0ken"
    (tmp_path / "token").write_text("rotated")
    assert connection.bearer() == "rotated"
    assert kopf_fields(connection)["token"] == "rotated"
    assert connection.ssl_context().get_ca_certs()


def test_an_ipv6_service_address(tmp_path: Path) -> None:
    environ = {**service_account(tmp_path), "KUBERNETES_SERVICE_HOST": "fd00::1"}
    assert in_cluster(environ).server == "https://[fd00::1]:443"


def test_a_pod_uses_its_service_account_unless_a_context_is_named(tmp_path: Path) -> None:
    account, config = tmp_path / "sa", tmp_path / "config"
    account.mkdir()
    both = {**service_account(account), **kubeconfig(config)}
    assert load(both).server == "https://10.96.0.1:443"
    assert load(both, context="home").server == "https://10.0.0.1:6443"
    assert load({"KUBECONFIG": str(config)}).server == "https://10.0.0.1:6443"


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    environ = service_account(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(CredentialsError, match=f"{missing} cannot be read: No such file"):
        in_cluster(environ)


def test_client_certificate_by_file_and_by_data(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text(_CERTIFICATE)
    by_file = {"client-certificate": "cert.pem", "client-key-data": base64.b64encode(_KEY.encode()).decode()}
    connection = from_kubeconfig(kubeconfig(tmp_path / "config", user=by_file))
    fields = kopf_fields(connection)
    assert x509.load_pem_x509_certificate(fields["certificate_data"].encode())
    assert load_pem_private_key(fields["private_key_data"].encode(), None)
    assert "token" not in fields
    assert fields["default_namespace"] == "trading"
    connection.ssl_context()


def test_paths_are_relative_to_the_file_and_the_first_file_wins(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "token").write_text("from-file")
    first = kubeconfig(tmp_path / "one" / "config", user={"tokenFile": "token"})
    second = kubeconfig(tmp_path / "two" / "config", user={"token": "other"})
    both = {"KUBECONFIG": f"{tmp_path}/absent:{first['KUBECONFIG']}:{second['KUBECONFIG']}"}
    assert from_kubeconfig(both).bearer() == "from-file"


def test_no_secret_is_printed(tmp_path: Path) -> None:
    user = {"token": "s3cret", "client-certificate-data": _b64(_CERTIFICATE), "client-key-data": _b64(_KEY)}
    shown = repr(from_kubeconfig(kubeconfig(tmp_path / "config", user=user)))
    assert "s3cret" not in shown
    assert "PRIVATE" not in shown
    assert "https://10.0.0.1:6443" in shown


def test_a_broken_file_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("users: [{token: s3cret")
    with pytest.raises(CredentialsError, match="no valid YAML") as caught:
        from_kubeconfig({"KUBECONFIG": str(path)})
    assert "s3cret" not in str(caught.value)


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


_EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./login", "args": ["a"]}


def _exec(**change: Any) -> dict[str, Any]:
    return {"exec": {**_EXEC, **change}}


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("no identity", {}, {}, "user 'u' has no token, tokenFile, client-certificate or exec"),
    ("half a certificate", {"client-certificate-data": _b64("x")}, {}, "only one of client-certificate and client-key"),
    ("no base64", {"client-key-data": "???"}, {}, "client-key-data is no base64 of PEM"),
    ("a file that is not there", {"client-key": "k.pem"}, {}, "client-key: .*k.pem cannot be read: No such file"),
    ("an old auth provider", {"auth-provider": {"name": "gcp"}}, {}, "user.auth-provider is not supported"),
    ("a proxy", {"token": "t"}, {"proxy-url": "http://p"}, "cluster.proxy-url is not supported"),
    ("another server name", {"token": "t"}, {"tls-server-name": "x"}, "cluster.tls-server-name is not supported"),
    ("no address", {"token": "t"}, {"server": "10.0.0.1"}, "cluster.server: '10.0.0.1' is no http or https address"),
    ("a command of an old protocol", _exec(apiVersion="v0"), {}, "user.exec.apiVersion: 'v0' is none of"),
    (
        "a command that is not installed",
        _exec(command="no-such-login", installHint="apt install it"),
        {},
        r"'no-such-login' is not installed \(apt install it\)",
    ),
]


@pytest.mark.parametrize(("description", "user", "cluster", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(tmp_path: Path, description: str, user: dict[str, Any], cluster: dict[str, Any], message: str) -> None:
    environ = {"PATH": "/usr/bin:/bin", **kubeconfig(tmp_path / "config", user=user, **cluster)}
    with pytest.raises(CredentialsError, match=message):
        from_kubeconfig(environ)
    assert description


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    environ = kubeconfig(tmp_path / "config")
    with pytest.raises(CredentialsError, match="contexts has no 'away'"):
        from_kubeconfig(environ, context="away")
    with pytest.raises(CredentialsError, match=r"KUBECONFIG /nowhere/config does not exist"):
        from_kubeconfig({"KUBECONFIG": "/nowhere/config"})


def test_certificates_that_are_none_are_refused_when_used(tmp_path: Path) -> None:
    user = {"client-certificate-data": _b64("no"), "client-key-data": _b64("pem")}
    connection = from_kubeconfig(kubeconfig(tmp_path / "config", user=user))
    with pytest.raises(CredentialsError, match="certificate or key cannot be used"):
        connection.ssl_context()


PRINTED: list[tuple[str, str, str, str]] = [
    ("a token", """echo '{"status": {"token": "fresh"}}'""", "fresh", ""),
    ("its failure", "echo please log in >&2; exit 3", "", "ended with 3: please log in"),
    ("no JSON", "echo hello", "", "printed no ExecCredential with a status"),
    ("no status", "echo '{}'", "", "printed no ExecCredential with a status"),
    ("an empty status", """echo '{"status": {}}'""", "", "printed neither a token nor a client certificate"),
]


@pytest.mark.parametrize(("description", "script", "token", "message"), PRINTED, ids=[row[0] for row in PRINTED])
def test_a_command_that_logs_in(tmp_path: Path, description: str, script: str, token: str, message: str) -> None:
    program = tmp_path / "login"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    environ = {"PATH": "/usr/bin:/bin", **kubeconfig(tmp_path / "config", user=_exec())}
    if message:
        with pytest.raises(CredentialsError, match=message):
            from_kubeconfig(environ)
    else:
        assert from_kubeconfig(environ).bearer() == token, description


def test_the_command_is_told_what_is_asked(tmp_path: Path) -> None:
    program = tmp_path / "login"
    program.write_text("""#!/bin/sh
echo "{\\"status\\": {\\"token\\": \\"$1-$WHO-$(echo $KUBERNETES_EXEC_INFO | grep -c ExecCredential)\\"}}"
""")
    program.chmod(0o700)
    user = _exec(env=[{"name": "WHO", "value": "ana"}])
    environ = {"PATH": "/usr/bin:/bin", **kubeconfig(tmp_path / "config", user=user)}
    assert from_kubeconfig(environ).bearer() == "a-ana-1"
