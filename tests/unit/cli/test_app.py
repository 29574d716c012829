"""Bad input of the command line: exit code, one sentence, no trace, no file made."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.stack.local_processes import REPOSITORY
from titan.cli import app as app_module
from titan.cli.app import run

DEMO = REPOSITORY / "policies" / "demo.yaml"
QUICKSTART = REPOSITORY / "examples" / "quickstart.yaml"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TITAN_STATE", raising=False)
    monkeypatch.delenv("TITAN_DEBUG", raising=False)


def run_titan(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> tuple[int, str, str]:
    code = run(arguments)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, captured.out, captured.err


def edited(source: Path, old: str, new: str) -> str:
    text = source.read_text()
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("description", "arguments", "sentence"),
    [
        ("unknown command", ["bogus"], "No such command 'bogus'"),
        ("unknown flag", ["status", "--bogus"], "No such option: --bogus"),
        ("unknown output", ["status", "-o", "xml"], "--output: 'xml' is not one of 'table', 'json', 'yaml'"),
        (
            "limit out of range",
            ["orders", "-n", "0"],
            "--limit: '0' is not allowed; allowed is a whole number from 1 to 10000, like --limit 20 (`titan",
        ),
        (
            "limit that is no number",
            ["orders", "-n", "x"],
            "--limit: 'x' is not allowed; allowed is a whole number from 1",
        ),
        (
            "seed that is no number",
            ["up", "--seed", "x"],
            "--seed: 'x' is not allowed; allowed is a whole number, like",
        ),
        ("endless number", ["orders", "-n", "9" * 5000], "--limit: '99999"),
        ("no value", ["up", "--seed"], "Option '--seed' requires an argument"),
        (
            "too many arguments",
            ["explain", "abcd", "x"],
            "Got unexpected extra argument(s) (x) (`titan explain --help`",
        ),
        ("no resources", ["up"], "-f: missing; allowed are files and directories"),
        ("absent file", ["up", "-f", "nowhere.yaml"], "-f: nowhere.yaml does not exist"),
        ("empty directory", ["up", "-f", "."], "-f: . holds no .yaml file"),
        ("absent recording", ["up", "-f", str(DEMO), "--market", "gone.gz"], "--market: gone.gz is not a file"),
        ("no phases", ["up", "-f", str(DEMO)], "the stack lacks marketdata, papervenue"),
        ("no policy", ["up", "-f", str(QUICKSTART)], "spec.policyRef.name: demo-"),
        ("bad speed", ["up", "-f", str(DEMO), "-f", str(QUICKSTART), "--speed", "fast"], "--speed: 'fast'"),
        ("NaN speed", ["up", "-f", str(DEMO), "-f", str(QUICKSTART), "--speed", "NaN"], "--speed: 'NaN'"),
        (
            "negative seed",
            ["up", "-f", str(DEMO), "-f", str(QUICKSTART), "--seed", "-1"],
            "--seed: -1 (an integer); allowed",
        ),
        (
            "no duration",
            ["up", "-f", str(DEMO), "-f", str(QUICKSTART), "--duration", "0"],
            "--duration: 0 (an integer); allowed",
        ),
        (
            "ports out of range",
            ["up", "-f", str(DEMO), "-f", str(QUICKSTART), "--port-offset", "60000"],
            "--port-offset: 60000 is not allowed; allowed are 0 to ",
        ),
        (
            "a certificate that no process could replace in time",
            ["up", "-f", str(DEMO), "-f", str(QUICKSTART), "--certificate-lifetime", "9"],
            "--certificate-lifetime: 9 is not allowed; allowed are 10 or more seconds",
        ),
        ("result of a run without end", ["up", "-f", str(DEMO), "-o", "json"], "-o: json needs --until-end"),
        (
            "log level",
            ["up", "-f", str(DEMO), "-f", str(QUICKSTART), "--log-level", "loud"],
            "'loud' is not one of 'debug', 'info', 'warning', 'error'",
        ),
        ("an empty path", ["status", "--state", ""], "--state: '' is not allowed; leave the flag out"),
        ("an empty path, with =", ["up", "--market="], "--market: '' is not allowed"),
        ("an empty file", ["up", "--arm", "-f", ""], "-f: '' is not allowed"),
        ("an empty format", ["status", "-o", ""], "-o: '' is not allowed"),
        (
            "a reason that is too long",
            ["halt", "--reason", "x" * 201],
            "--reason: 201 characters; allowed are 1 to 200",
        ),
        ("a reason with escapes", ["halt", "--reason", "a\x1b[31m"], "--reason: 'a\\x1b[31m' has control characters"),
        ("status of nothing", ["status"], "--state: .titan holds no stack"),
        ("down of nothing", ["down"], "--state: .titan is no directory"),
        ("absent policy", ["policy", "hash", "gone.yaml"], "gone.yaml: cannot be read: No such file"),
        ("no policy in it", ["policy", "verify", str(QUICKSTART)], "holds no RiskPolicy"),
    ],
)
def test_bad_input(
    capsys: pytest.CaptureFixture[str], description: str, arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    code, out, err = run_titan(capsys, arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1, err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("description", "source", "old", "new", "sentence"),
    [
        ("malformed YAML", DEMO, "  rules:", "  rules: [", "malformed YAML"),
        ("unknown field", DEMO, "  posture: ARMED", "  posture: ARMED\n  color: red", "spec.color: "),
        (
            "unknown rule",
            DEMO,
            "    equityFloor:",
            "    equityFlor:",
            "no rule has this name; did you mean equityFloor?",
        ),
        ("rules of another hash", DEMO, 'equityFloor: "150"', 'equityFloor: "151"', "the rules hash to sha256:"),
        ("negative number", DEMO, 'maxOrderNotional: "10000"', 'maxOrderNotional: "-1"', "rules.maxOrderNotional: "),
        ("NaN", DEMO, 'maxOrderNotional: "10000"', "maxOrderNotional: .nan", "rules.maxOrderNotional: "),
        ("unknown symbol", QUICKSTART, "symbols: [BTC/USDT, BTC/USDT:USDT]", "symbols: [XYZ/USDT]", "XYZ/USDT"),
        ("unknown role", QUICKSTART, "role: brain", "role: brian", "role: "),
        ("pin of another hash", QUICKSTART, "hash: sha256:3e", "hash: sha256:4e", "spec.policyRef.hash: sha256:4e"),
    ],
)
def test_bad_resource(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    description: str,
    source: Path,
    old: str,
    new: str,
    sentence: str,
) -> None:
    changed = tmp_path / "changed.yaml"
    changed.write_text(edited(source, old, new))
    other = QUICKSTART if source is DEMO else DEMO
    code, out, err = run_titan(capsys, ["up", "-f", str(changed), "-f", str(other)])
    assert (code, out) == (2, "")
    assert sentence in err
    assert [path.name for path in tmp_path.iterdir()] == ["changed.yaml"]


@pytest.mark.parametrize(
    ("description", "name", "content", "sentence"),
    [
        (
            "malformed JSON",
            "rules.json",
            b'{"a": 1,}',
            "rules: malformed JSON at line 1 column 9; allowed is a JSON object",
        ),
        ("no UTF-8", "policy.yaml", b"\xff\xfe", "byte 0 is not UTF-8"),
    ],
)
def test_text_of_a_library_does_not_reach_the_user(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, description: str, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    code, out, err = run_titan(capsys, ["policy", "hash", name])
    assert (code, out) == (2, "")
    assert sentence in err
    assert [text for text in ("Expecting", "codec", "Input should", "invalid literal") if text in err] == []


def test_every_problem_of_a_file_is_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    changed = tmp_path / "changed.yaml"
    text = edited(DEMO, 'equityFloor: "150"', 'equityFloor: "-1"')
    changed.write_text(text.replace('maxOrderNotional: "10000"', 'maxOrderNotional: "1e4"'))
    _, _, err = run_titan(capsys, ["up", "-f", str(changed)])
    assert [re.search(r"rules\.(\w+)", line)[1] for line in err.splitlines()] == ["maxOrderNotional", "equityFloor"]  # type: ignore[index]


def test_hash_and_verify_of_a_good_policy(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_titan(capsys, ["policy", "hash", str(DEMO)])
    assert (code, bool(re.fullmatch(r"sha256:[0-9a-f]{64}\n", out))) == (0, True)
    code, verified, err = run_titan(capsys, ["policy", "verify", str(DEMO), "--equity", "200"])
    assert (code, err) == (0, "")
    assert verified.startswith(f"ok  {out.strip()}  demo-{out[7:15]}\nnot enforced: maxPhaseCorrelation: ")


@pytest.mark.parametrize(
    ("description", "policy", "equity", "expected"),
    [
        ("all of it", "micro", "200", ["NORMAL 2 123.60 30–60 all 150", "CAUTIOUS 1 123.60 30–60 0.5 of them 150"]),
        ("a fallen account trades on", "micro", "179", ["NORMAL 1 123.60 30–60 all", "CAUTIOUS 1 123.60 30–60 0.5 of"]),
        ("too little", "alpha", "200", ["NORMAL STOPPED 123.60 1000", "STOPPED by NO_ALLOCATION: weight=0"]),
    ],
)
def test_verify_prints_what_a_policy_can_trade(
    capsys: pytest.CaptureFixture[str], description: str, policy: str, equity: str, expected: list[str]
) -> None:
    path = str(DEMO.with_name(f"{policy}.yaml"))
    code, out, err = run_titan(capsys, ["policy", "verify", path, "--equity", equity, "--price", "BTC=61800"])
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines()[1:])) <= 100
    flat = " ".join(out.split())
    for part in expected:
        assert part in flat, f"{part} is not in {flat}"
    assert "mode: shadow needs an Execution that decides" in flat


def test_verify_prints_the_order_in_which_loss_limits_bind(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(DEMO.with_name("micro.yaml"))
    _, out, _ = run_titan(capsys, ["policy", "verify", path, "--equity", "200", "-o", "json"])
    (one,) = json.loads(out)
    assert [(limit["loss"], limit["limit"], limit["then"].partition(" ")[0]) for limit in one["loss_limits"]] == [
        ("5.00", "day's loss", "CAUTIOUS"),
        ("6.00", "scavenger's day", "its"),
        ("7.50", "day's loss", "DEFENSIVE"),
        ("10.00", "scavenger's day", "it"),
        ("10.00", "day's loss", "EMERGENCY"),
        ("10.00", "drawdownCaution", "CAUTIOUS"),
        ("20.00", "drawdownDefensive", "DEFENSIVE"),
        ("30.00", "drawdownEmergency", "EMERGENCY"),
        ("50.00", "equity floor", "EMERGENCY"),
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--equity", "0"], "--equity: 0; allowed is an amount above 0"),
        (["--equity", "1e3"], "--equity: '1e3' is not a canonical decimal"),
        (["--price", "61800"], "--price: '61800'; allowed is BASE=PRICE"),
        (["--price", "BTC=-1"], "--price BTC: -1; allowed is an amount above 0"),
    ],
)
def test_verify_refuses_bad_amounts(capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str) -> None:
    code, out, err = run_titan(capsys, ["policy", "verify", str(DEMO), *arguments])
    assert (code, out) == (2, "")
    assert sentence in err


@pytest.mark.parametrize(
    ("description", "old", "new", "sentence"),
    [
        ("changed rule", 'equityFloor: "150"', 'equityFloor: "151"', "the rules' hash is sha256:"),
        ("changed name", "name: demo-", "name: other", "metadata.name: "),
    ],
)
def test_verify_fails_with_exit_code_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, description: str, old: str, new: str, sentence: str
) -> None:
    changed = tmp_path / "changed.yaml"
    changed.write_text(edited(DEMO, old, new))
    code, out, err = run_titan(capsys, ["policy", "verify", str(changed)])
    assert (code, out) == (1, "")
    assert sentence in err


def test_command_line_of_a_stack_that_does_not_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"addresses": {"brain": "127.0.0.1:1"}, "http": {}, "processes": []}')
    for command in ("status", "orders", "fills", "positions", "equity", "explain", "why", "arm", "halt", "flatten"):
        code, out, err = run_titan(capsys, [command, "--state", str(tmp_path)])
        assert (command, code, out) == (command, 3, "")
        assert "no stack runs on" in err


def test_unexpected_error_is_one_sentence_and_its_trace_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(app_module, "locate", broken)
    code, out, err = run_titan(capsys, ["status"])
    assert (code, out) == (1, "")
    path = re.search(r"unexpected error, KeyError: 'surprise'; the trace is in (\S+)$", err.strip())
    assert path is not None
    assert "in broken" in Path(path[1]).read_text()
    Path(path[1]).unlink()


def test_debug_shows_the_trace(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(app_module, "locate", broken)
    monkeypatch.setenv("TITAN_DEBUG", "")
    assert run(["--debug", "status"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_help_imports_little() -> None:
    program = "import sys; from titan.cli.app import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    heavy = {"grpc", "pydantic", "sqlalchemy", "cryptography", "alembic", "asyncio", "google.protobuf"}
    assert heavy & set(done.stderr.split()) == set()
    assert "up" in done.stdout


@pytest.mark.parametrize("name", ["titan", "kubectl-titan"])
def test_program_is_installed_under_both_names(name: str) -> None:
    program = shutil.which(name, path=str(Path(sys.executable).parent))
    assert program is not None
    assert subprocess.run([program], check=False, capture_output=True, timeout=30).returncode == 0


def test_help_lists_commands_by_use(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run_titan(capsys, ["--help"])
    commands = re.findall(r"^│ ([a-z-]+) ", out.partition("Commands")[2], re.MULTILINE)
    assert commands[:4] == ["up", "down", "status", "why"]
    assert commands[-4:] == ["verify-image", "policy", "paper", "db"]


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        (["logs", "--help"], "titan logs [OPTIONS] PROCESS\n"),
        (["explain", "--help"], "titan explain [OPTIONS] [ID]\n"),
        (["paper", "deposit", "--help"], "titan paper deposit [OPTIONS] AMOUNT\n"),
        (["policy", "hash", "--help"], "titan policy hash [OPTIONS] FILE\n"),
    ],
)
def test_usage_names_required_arguments_without_braces(
    capsys: pytest.CaptureFixture[str], arguments: list[str], usage: str
) -> None:
    assert usage in re.sub(r" +\n", "\n", run_titan(capsys, arguments)[1])


def test_the_log_level_is_one_word_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run_titan(capsys, ["up", "--help"])
    assert re.search(r"--log-level +LEVEL ", out)
