"""Registries' credentials: read as docker login writes them, read anew when replaced, and shown nowhere."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from titan_operator.supplychain.registry.credential_files import (
    CredentialFiles,
    CredentialsFileError,
    Login,
    read_docker_config,
)

SECRET = "hunter2-hunter2"


def _config(**hosts: object) -> bytes:
    return json.dumps({"auths": {name.replace("_", "."): entry for name, entry in hosts.items()}}).encode()


def _auth(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("r.test", "r.test"),
        ("r.test:5000", "r.test:5000"),
        ("https://r.test/v1/", "r.test"),
        ("r.test/team", "r.test"),
        ("https://index.docker.io/v1/", "docker.io"),
    ],
)
def test_every_spelling_of_a_host_is_read(name: str, host: str) -> None:
    text = json.dumps({"auths": {name: _auth(f"ana:{SECRET}")}}).encode()
    assert read_docker_config(text) == {host: Login("ana", SECRET)}


def test_a_password_may_have_colons_and_stand_in_words() -> None:
    assert read_docker_config(_config(r_test=_auth("ana:a:b")))["r.test"].password == "a:b"
    assert read_docker_config(_config(r_test={"username": "ana", "password": "p"})) == {"r.test": Login("ana", "p")}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"{", "not JSON"),
        (b"[]", "auths: missing"),
        (b"{}", "auths: missing"),
        (_config(r_test=SECRET), "auths.r.test: no object"),
        (_config(r_test={"auth": SECRET}), "auths.r.test: no login"),
        (_config(r_test={"auth": base64.b64encode(b"\xff\xfe").decode()}), "auths.r.test: no login"),
        (_config(r_test=_auth(SECRET)), "auths.r.test: no login"),
        (_config(r_test={"username": "ana"}), "auths.r.test: no login"),
    ],
)
def test_what_is_malformed_is_said_by_host_and_never_by_value(text: bytes, says: str) -> None:
    with pytest.raises(CredentialsFileError, match=says) as caught:
        read_docker_config(text)
    assert SECRET not in str(caught.value)


def test_a_login_does_not_show_its_password() -> None:
    assert SECRET not in repr(Login("ana", SECRET))


def test_files_are_read_anew_and_a_broken_one_keeps_what_it_said(tmp_path: Path) -> None:
    files = CredentialFiles(tmp_path)
    files.reload()
    assert (files.logins, files.problem) == ({}, "")
    (tmp_path / "a.json").write_bytes(_config(a_test=_auth("ana:1")))
    (tmp_path / "b.json").write_bytes(_config(b_test=_auth("ben:2")))
    files.reload()
    assert files.logins == {"a.test": Login("ana", "1"), "b.test": Login("ben", "2")}
    (tmp_path / "a.json").write_bytes(_config(a_test=_auth("ana:changed")))
    files.reload()
    assert files.logins["a.test"] == Login("ana", "changed")
    (tmp_path / "a.json").write_bytes(b"{ this is no JSON")
    files.reload()
    assert files.problem.startswith("a.json: not JSON")
    assert files.logins["a.test"] == Login("ana", "changed")
    (tmp_path / "a.json").unlink()
    files.reload()
    assert (list(files.logins), files.problem) == (["b.test"], "")


def test_no_folder_is_no_credentials() -> None:
    files = CredentialFiles(None)
    files.reload()
    assert (files.logins, files.problem) == ({}, "")
