"""An identity in files that are replaced: always a whole one, and never half of two."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from titan.runtime.pki import identity
from titan.runtime.pki.certificates import Leaf, issue_leaf, make_authority
from titan.runtime.pki.identity import IdentityFiles, IdentityUnreadableError

AUTHORITY = make_authority(datetime.now(UTC))


def new_leaf() -> Leaf:
    return issue_leaf(AUTHORITY, "brain", "s", datetime.now(UTC))


def put(directory: Path, files: dict[str, bytes]) -> None:
    """Replace files one after another, each in one step."""
    for name, content in files.items():
        temporary = directory / f".{name}"
        temporary.write_bytes(content)
        temporary.replace(directory / name)


def test_a_replaced_identity_is_used_and_an_unreplaced_one_is_the_same_object(tmp_path: Path) -> None:
    first, second = new_leaf(), new_leaf()
    put(tmp_path, first.files())
    files = IdentityFiles(tmp_path)
    before = files.now
    assert (before.key, before.certificate, before.authorities) == (first.key_pem, first.cert_pem, first.ca_pem)
    assert files.now is before
    put(tmp_path, first.files())
    assert files.now is before, "the same bytes written again are no new identity"
    put(tmp_path, second.files())
    assert (files.now.key, files.now.certificate) == (second.key_pem, second.cert_pem)


def test_in_the_middle_of_a_replacement_the_one_of_before_stays(tmp_path: Path) -> None:
    first, second = new_leaf(), new_leaf()
    put(tmp_path, first.files())
    files = IdentityFiles(tmp_path)
    before = files.now
    for name, content in second.files().items():
        assert files.now is before
        put(tmp_path, {name: content})
    assert files.now.certificate == second.cert_pem
    assert files.problem == ""
    (tmp_path / "cert.pem").unlink()
    assert files.now.certificate == second.cert_pem
    assert files.problem.endswith("cert.pem: No such file or directory")
    put(tmp_path, {"cert.pem": b"damaged"})
    assert files.now.certificate == second.cert_pem
    assert files.problem.startswith("key.pem and cert.pem do not match: ")
    put(tmp_path, second.files())
    assert files.now.certificate == second.cert_pem
    assert files.problem == ""


def test_a_volume_that_kubernetes_swaps_by_a_link(tmp_path: Path) -> None:
    leaves = {"..one": new_leaf(), "..two": new_leaf()}
    for name, leaf in leaves.items():
        (tmp_path / name).mkdir()
        put(tmp_path / name, leaf.files())
    (tmp_path / "..data").symlink_to("..one")
    for name in leaves["..one"].files():
        (tmp_path / name).symlink_to(f"..data/{name}")
    files = IdentityFiles(tmp_path)
    assert files.now.key == leaves["..one"].key_pem
    (tmp_path / "..new").symlink_to("..two")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert (files.now.key, files.now.certificate) == (leaves["..two"].key_pem, leaves["..two"].cert_pem)


def test_one_that_is_whole_a_moment_later_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = new_leaf(), new_leaf()
    put(tmp_path, first.files() | {"key.pem": second.key_pem})
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        put(tmp_path, second.files())

    monkeypatch.setattr(identity.time, "sleep", pause)
    assert IdentityFiles(tmp_path).now.certificate == second.cert_pem
    assert len(pauses) == 1


@pytest.mark.parametrize(
    ("description", "change", "says"),
    [
        ("an empty folder", None, "holds no identity; missing: key.pem, cert.pem, ca.pem"),
        ("the key of another", {"key.pem": new_leaf().key_pem}, "key.pem and cert.pem do not match"),
    ],
)
def test_no_identity_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, description: str, change: dict[str, bytes] | None, says: str
) -> None:
    monkeypatch.setattr(identity.time, "sleep", lambda _s: None)
    if change is not None:
        put(tmp_path, new_leaf().files() | change)
    with pytest.raises(IdentityUnreadableError, match=says):
        IdentityFiles(tmp_path)
