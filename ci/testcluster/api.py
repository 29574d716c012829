"""A few plain calls of the Kubernetes API with a kubeconfig of the test cluster."""

from __future__ import annotations

import http.client
import json
import ssl
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class ApiError(Exception):
    """The API server refused a call; the message is the server's."""


class Api:
    """Calls as the kubeconfig's user, who has a client certificate."""

    def __init__(self, kubeconfig: Path) -> None:
        document = json.loads(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        where = urlsplit(cluster["server"])
        self._host, self._port = where.hostname or "", where.port or 443
        self._context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._context.load_cert_chain(user["client-certificate"], user["client-key"])
        self._connection: http.client.HTTPSConnection | None = None

    def close(self) -> None:
        """Close the kept connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the API server's answer; one connection is kept for all calls.

        Raises
        ------
        ApiError
            It refused.
        OSError
            It cannot be reached now.
        """
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(self._host, self._port, context=self._context, timeout=10)
        try:
            self._connection.request(
                method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"}
            )
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self._connection = None
            raise OSError(f"{method} {path}: {error}") from error
        found: dict[str, Any] = json.loads(text)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise ApiError(f"{method} {path}: {answer.status}: {found.get('message', '')}")
        return found
