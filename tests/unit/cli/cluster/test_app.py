"""``kubectl titan`` without a cluster: bad input, commands on files, and an unreachable API server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.stack.local_processes import REPOSITORY
from titan.cli.cluster.app import app
from titan.cli.root import run_app

STANDARD = str(REPOSITORY / "policies" / "standard.yaml")
ALPHA = str(REPOSITORY / "policies" / "alpha.yaml")
QUICKSTART = str(REPOSITORY / "examples" / "quickstart.yaml")


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "TITAN_DEBUG"):
        monkeypatch.delenv(name, raising=False)


def run_titan(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run_app(app, "kubectl titan", list(arguments))
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, captured.out, captured.err


def kubeconfig(folder: Path, server: str = "https://127.0.0.1:1") -> str:
    path = folder / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "ana", "namespace": "desk"}}],
                "clusters": [{"name": "here", "cluster": {"server": server}}],
                "users": [{"name": "ana", "user": {"token": "secret-token"}}],
            }
        )
    )
    return str(path)


@pytest.mark.parametrize(
    ("description", "arguments", "sentence"),
    [
        ("unknown command", ["up"], "No such command 'up'"),
        ("no credentials", ["status"], "no cluster: not inside a pod, and KUBECONFIG ~/.kube/config does not exist"),
        ("absent kubeconfig", ["status", "--kubeconfig", "gone"], "--kubeconfig: gone is no file"),
        ("no phase named", ["release"], "Missing argument 'NAME'"),
        (
            "no patience",
            ["halt", "--timeout", "0"],
            "--timeout: '0' is not allowed; allowed is a number from 1 to 3600, like",
        ),
        ("short id", ["explain", "abc"], "ID: 'abc' is too short"),
        ("absent file", ["policy", "diff", "gone.yaml", ALPHA], "gone.yaml: cannot be read: No such file"),
        (
            "no policy in it",
            ["policy", "diff", QUICKSTART, ALPHA],
            "quickstart.yaml: holds 0 RiskPolicy resources; allowed is a file with one",
        ),
        ("no source", ["policy", "new"], "Missing option '--from'"),
        (
            "no such rule",
            ["policy", "new", "--from", STANDARD, "--set", "a=1"],
            "rules.a: '1' (a string), but no rule has this name; allowed are the rules",
        ),
        (
            "nothing changed",
            ["policy", "new", "--from", STANDARD, "--set", "maxOrderNotional=10000"],
            "--set: maxOrderNotional=10000 changes nothing",
        ),
        ("bad name", ["policy", "new", "--from", STANDARD, "--name", "Big"], "--name: 'Big'; allowed are 1 to 54"),
        ("bad ceiling", ["policy", "new", "--from", STANDARD, "--posture", "OPEN"], "'OPEN' is not one of 'FLATTEN'"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], description: str, arguments: list[str], sentence: str) -> None:
    code, out, err = run_titan(capsys, *arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1, err


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["explain"],
        ["halt"],
        ["policy", "pin", "demo-3e1725d5"],
        ["policy", "new", "--from", "demo-3e1725d5"],
    ],
    ids=" ".join,
)
def test_unreachable_api_server(capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str]) -> None:
    code, out, err = run_titan(capsys, *arguments, "--kubeconfig", kubeconfig(tmp_path))
    assert (code, out) == (3, "")
    assert "127.0.0.1:1" in err
    assert "secret-token" not in err
    assert len(err.splitlines()) == 1, err


def test_unknown_context(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run_titan(capsys, "status", "--kubeconfig", kubeconfig(tmp_path), "--context", "there")
    assert code == 2
    assert "contexts has no 'there'" in err


def test_diff_of_files_needs_no_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_titan(capsys, "policy", "diff", STANDARD, ALPHA, "-o", "json")
    rules = {row["rule"]: row for row in json.loads(out)["rules"]}
    assert code == 0
    assert rules["twoPersonArm"] == {"rule": "twoPersonArm", "before": False, "after": True, "effect": "tighter"}
    assert run_titan(capsys, "policy", "diff", STANDARD, STANDARD)[:2] == (0, "no rule differs: the hashes are equal\n")


def test_a_table_fits_its_width(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run_titan(capsys, "policy", "diff", STANDARD, ALPHA)
    assert max(len(line) for line in out.splitlines()) <= 100
    assert "onVenueFailure" not in out


def test_a_new_policy_can_be_verified(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run_titan(
        capsys, "policy", "new", "--from", STANDARD, "--set", "maxOrderNotional=5000", "--name", "mine"
    )
    made = yaml.safe_load(out)
    assert (code, made["spec"]["posture"], made["spec"]["rules"]["maxOrderNotional"]) == (0, "CLOSE_ONLY", "5000")
    (tmp_path / "new.yaml").write_text(out)
    assert run_titan(capsys, "policy", "verify", "new.yaml")[0] == 0
    _, table, _ = run_titan(capsys, "policy", "diff", STANDARD, "new.yaml")
    assert "maxOrderNotional" in table


def test_program_name_selects_the_command_line() -> None:
    folder = Path(sys.executable).parent
    shown = {
        name: subprocess.run([folder / name, "--help"], check=True, capture_output=True, text=True, timeout=30).stdout
        for name in ("titan", "kubectl-titan")
    }
    assert "in a cluster" in shown["kubectl-titan"]
    assert "│ up " not in shown["kubectl-titan"]
    assert "│ up " in shown["titan"]


def test_help_imports_little() -> None:
    program = (
        "import sys; from titan.cli.cluster.app import app; from titan.cli.root import run_app;"
        "run_app(app, 'kubectl titan', ['--help']); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    heavy = {"grpc", "pydantic", "aiohttp", "asyncio", "google.protobuf", "titan_operator"}
    assert heavy & set(done.stderr.split()) == set()
