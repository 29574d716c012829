"""Credentials that a command prints (``user.exec`` of a KUBECONFIG), as managed clusters hand them out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from titan_operator.cluster.errors import CredentialsError

_TIMEOUT_S = 30.0
_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


def exec_credential(
    spec: Mapping[str, Any], folder: Path, environ: Mapping[str, str], source: str
) -> tuple[str, str, str]:
    """Run the command and return token, client certificate and key as PEM, each empty if it gave none.

    Raises
    ------
    CredentialsError
        The command is missing, fails, or prints no ExecCredential.
    """
    version, command = str(spec.get("apiVersion", "")), str(spec.get("command", ""))
    if version not in _VERSIONS:
        raise CredentialsError(f"{source}: user.exec.apiVersion: {version!r} is none of {', '.join(_VERSIONS)}")
    # A name with a separator is relative to the KUBECONFIG, a bare one is looked up in PATH, as kubectl does it.
    program = str(folder / command) if "/" in command else command
    request = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    given = {str(item["name"]): str(item["value"]) for item in spec.get("env") or ()}
    try:
        done = subprocess.run(  # noqa: S603 - the user's own KUBECONFIG names it, as for kubectl
            [program, *map(str, spec.get("args") or ())],
            env={**environ, **given, "KUBERNETES_EXEC_INFO": json.dumps(request)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        status = json.loads(done.stdout)["status"]
        token, certificate, key = (
            str(status.get(name) or "") for name in ("token", "clientCertificateData", "clientKeyData")
        )
    except FileNotFoundError as error:
        hint = f" ({spec['installHint']})" if spec.get("installHint") else ""
        raise CredentialsError(f"{source}: user.exec.command: {command!r} is not installed{hint}") from error
    except subprocess.CalledProcessError as error:
        output = error.stderr.decode(errors="replace").strip().splitlines()
        raise CredentialsError(
            f"{source}: {command} ended with {error.returncode}: {output[-1] if output else 'no message'}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CredentialsError(f"{source}: {command} gave no credentials within {_TIMEOUT_S:g} s") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CredentialsError(f"{source}: {command} printed no ExecCredential with a status") from error
    if not token and not certificate:
        raise CredentialsError(f"{source}: {command} printed neither a token nor a client certificate")
    return token, certificate, key
