"""From resources to workloads and local processes, and each gate's refusal."""

from __future__ import annotations

import importlib
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from titan.domain.policy import parse_rules
from titan.domain.policy_hash import policy_hash
from titan.runtime.settings import ProcessSettings, load_settings
from titan.runtime.topology import ROLES, peers_of
from titan.strategies.scavenger.parameters import ScavengerParameters, parse_parameters
from titan_operator.api import Resource, load_resources
from titan_operator.gates import GateReason
from titan_operator.overrides import OverrideError, Overrides, apply_overrides
from titan_operator.plan import Plan, PlanError, Workload, plan
from titan_operator.render_local import LocalOptions, LocalProcess, plan_document, render_local

ROOT = Path(__file__).resolve().parents[3]
DEMO = (ROOT / "policies" / "demo.yaml").read_text()
MICRO = (ROOT / "policies" / "micro.yaml").read_text()
STACK = (ROOT / "examples" / "quickstart.yaml").read_text()
DEMO_HASH = "sha256:d7413498773d57cab22eeb34ded1c952ff87b97338e83eae5ed0a75654b201fa"
MICRO_HASH = "sha256:67cdfba9c1dd75dececa2c1b12b1d195418532ebd88b6a78c271d341aae32743"
ROLES_OF_STACK = ["marketdata", "papervenue", "execution", "brain", "scavenger"]
OPTIONS = LocalOptions(state_dir="/var/titan", bin_dir="/opt/bin", working_dir="/home/ana")


def read(*texts: str) -> list[Resource]:
    return [resource for text in texts for resource in load_resources(text, "stack.yaml")]


def without(role: str, text: str = STACK) -> str:
    return "---\n".join(part for part in text.split("---\n") if f"  role: {role}\n" not in part)


def only(role: str, text: str = STACK) -> str:
    return next(part for part in text.split("---\n") if f"  role: {role}\n" in part)


def in_role(role: str, old: str, new: str) -> str:
    part = only(role)
    assert old in part
    return STACK.replace(part, part.replace(old, new))


def quickstart() -> Plan:
    return plan(read(DEMO, STACK))


def refusal(*texts: str) -> tuple[GateReason, str]:
    with pytest.raises(PlanError) as caught:
        plan(read(*texts))
    return caught.value.reason, str(caught.value)


def test_a_stack_is_planned_in_the_order_in_which_it_starts() -> None:
    planned = quickstart()
    assert [workload.role for workload in planned.workloads] == ROLES_OF_STACK
    assert (planned.policy_name, planned.policy_hash) == ("demo-d7413498", DEMO_HASH)
    assert (planned.mode, planned.posture_ceiling, planned.simulated) == ("paper", "ARMED", True)
    for position, workload in enumerate(planned.workloads):
        assert set(workload.depends) <= set(ROLES_OF_STACK[:position])
        assert workload.image.startswith("titan/titan@sha256:")


def test_the_plan_does_not_depend_on_the_order_of_the_resources() -> None:
    assert plan(list(reversed(read(DEMO, STACK)))) == quickstart()


@pytest.mark.parametrize("role", ROLES_OF_STACK)
def test_ports_and_peers_come_from_the_topology(role: str) -> None:
    workload = quickstart().workload(role)
    assert (workload.grpc_port, workload.http_port) == (ROLES[role].grpc_port, ROLES[role].http_port)
    assert workload.peers == peers_of(role)
    assert bool(workload.storage) == (role in ("papervenue", "execution", "brain"))


@pytest.mark.parametrize("role", ["execution", "brain", "scavenger"])
def test_whoever_enforces_the_policy_gets_the_rules_and_no_hash(role: str) -> None:
    workload = quickstart().workload(role)
    assert workload.file_settings["policy_file"] == "policy.json"
    assert policy_hash(parse_rules(workload.files["policy.json"].encode())) == DEMO_HASH
    assert DEMO_HASH not in json.dumps([workload.settings, workload.files])


@pytest.mark.parametrize("role", ["marketdata", "papervenue"])
def test_the_market_and_the_venue_know_no_policy(role: str) -> None:
    workload = quickstart().workload(role)
    assert (workload.files, workload.file_settings) == ({}, {})


def test_the_strategy_reads_what_the_plan_writes() -> None:
    written = quickstart().workload("scavenger").files["parameters.json"]
    changed = in_role("scavenger", 'stopBps: "60"', 'stopBps: "41.5"')
    assert parse_parameters(written.encode()).perp_symbol == "BTC/USDT:USDT"
    eth = plan(read(DEMO, changed.replace("BTC/", "ETH/"))).workload("scavenger").files["parameters.json"]
    parameters = parse_parameters(eth.encode())
    assert (parameters.perp_symbol, parameters.spot_symbol, parameters.stop_bps) == ("ETH/USDT:USDT", "ETH/USDT", 41.5)


def test_settings_by_role() -> None:
    planned = quickstart()
    assert planned.workload("marketdata").settings == {
        "source": "simulated",
        "symbols": "BTC/USDT,BTC/USDT:USDT",
        "seed": "1",
        "speed": "1",
        "step_ms": "0",
        "duration_s": "0",
        "required_subscribers": "papervenue,execution,brain,scavenger",
    }
    assert planned.workload("papervenue").settings == {
        "initial_balance": "200",
        "latency_ms": "50",
        "account_leverage": "15",
    }
    assert planned.workload("brain").settings == {
        "mode": "paper",
        "phases": "scavenger",
        "margin_leverage": "scavenger=15",
    }
    assert planned.workload("execution").settings == {"mode": "paper", "margin_leverage": "15"}


def test_the_margin_setting_is_the_lower_of_the_phases_and_the_policys() -> None:
    alpha = (ROOT / "policies" / "alpha.yaml").read_text()
    (policy,) = read(alpha)
    pinned = STACK.replace("demo-d7413498", policy.metadata.name).replace(
        DEMO_HASH, yaml.safe_load(alpha)["spec"]["hash"]
    )
    for margin, expected in (("15", "5"), ("3", "3")):
        planned = plan(read(alpha, pinned.replace('leverage: "15"', f'leverage: "{margin}"')))
        assert planned.workload("papervenue").settings["account_leverage"] == expected
        assert planned.workload("execution").settings["margin_leverage"] == expected
        assert planned.workload("brain").settings["margin_leverage"] == f"scavenger={expected}"


def test_a_fast_venue_shortens_the_step() -> None:
    planned = plan(read(DEMO, in_role("papervenue", "latencyMs: 50", "latencyMs: 20")))
    assert planned.workload("marketdata").settings["step_ms"] == "20"


def test_the_ceiling_is_the_policys() -> None:
    planned = plan(read(DEMO.replace("posture: ARMED", "posture: HALTED"), STACK))
    assert planned.workload("brain").live == {"posture_ceiling": "HALTED"}
    assert process("brain", read(DEMO, STACK)).env["TITAN_POSTURE_CEILING"] == "ARMED"


def test_the_same_resource_in_two_files_counts_once_and_an_unpinned_policy_does_not_count() -> None:
    assert plan(read(DEMO, MICRO, STACK, DEMO, only("brain"))) == quickstart()


def test_a_suspended_phase_is_as_if_it_were_not_there() -> None:
    second = only("scavenger").replace("name: scavenger", "name: second").replace("  mode", "  suspend: true\n  mode")
    assert plan(read(DEMO, f"{STACK}---\n{second}")) == quickstart()


MICRO_PIN: Callable[[str], str] = lambda text: text.replace("demo-d7413498", "micro-67cdfba9").replace(  # noqa: E731
    DEMO_HASH, MICRO_HASH
)

REFUSED: list[tuple[str, list[str], GateReason, str]] = [
    (
        "two contents under one name",
        [DEMO, STACK, DEMO.replace("posture: ARMED", "posture: HALTED")],
        GateReason.SPEC_VALID,
        "RiskPolicy demo-d7413498: given 2 times with different contents; allowed is one",
    ),
    (
        "two of one role",
        [DEMO, STACK, only("brain").replace("name: brain", "name: brain-2")],
        GateReason.SPEC_VALID,
        "role brain: given by brain and brain-2; allowed is one TitanPhase of a role in a stack",
    ),
    (
        "nothing but a policy",
        [DEMO],
        GateReason.ROLES_COMPLETE,
        "the stack lacks marketdata, papervenue, execution, brain, a phase (scavenger); no TitanPhase is given",
    ),
    (
        "no phase",
        [DEMO, without("scavenger")],
        GateReason.ROLES_COMPLETE,
        "the stack lacks a phase (scavenger); given are brain, execution, marketdata, papervenue",
    ),
    (
        "a suspended Brain",
        [DEMO, in_role("brain", "  mode", "  suspend: true\n  mode")],
        GateReason.ROLES_COMPLETE,
        "the stack lacks brain; given are",
    ),
    (
        "two pins",
        [DEMO, MICRO, STACK.replace(only("brain"), MICRO_PIN(only("brain")))],
        GateReason.ONE_POLICY_PER_STACK,
        "policyRef: scavenger pins demo-d7413498, brain pins micro-67cdfba9; allowed is one policy for the whole stack",
    ),
    (
        "no policy",
        [STACK],
        GateReason.POLICY_FOUND,
        "TitanPhase execution: spec.policyRef.name: demo-d7413498 is not among the resources; no RiskPolicy is given",
    ),
    (
        "another policy",
        [MICRO, STACK],
        GateReason.POLICY_FOUND,
        "spec.policyRef.name: demo-d7413498 is not among the resources; given are micro-67cdfba9",
    ),
    (
        "a pin of another hash",
        [DEMO, in_role("brain", DEMO_HASH, MICRO_HASH)],
        GateReason.POLICY_HASH_MATCHES,
        f"TitanPhase brain: spec.policyRef.hash: {MICRO_HASH}; allowed is the hash of demo-d7413498, {DEMO_HASH}",
    ),
    (
        "a symbol that the policy does not name",
        [MICRO, MICRO_PIN(STACK.replace("BTC/", "ETH/"))],
        GateReason.SYMBOLS_TRADABLE,
        "TitanPhase scavenger: spec.symbols: ETH/USDT:USDT; allowed are those of micro-67cdfba9: BTC/USDT, BTC/",
    ),
    (
        "two modes",
        [DEMO, in_role("brain", "mode: paper", "mode: live")],
        GateReason.LIVE_APPROVED,
        "spec.mode: brain is live, scavenger is paper; allowed is one mode for the whole stack",
    ),
    (
        "live where the policy says paper",
        [DEMO, STACK.replace("mode: paper", "mode: live")],
        GateReason.LIVE_APPROVED,
        "spec.mode: live is not among the policy's modes; allowed is one of paper",
    ),
    (
        "live without an approval",
        [MICRO, MICRO_PIN(STACK).replace("mode: paper", "mode: live")],
        GateReason.LIVE_APPROVED,
        "spec.mode: live needs rules.liveApproval in the policy",
    ),
    (
        "a market that lacks a symbol of the phase",
        [DEMO, in_role("marketdata", "[BTC/USDT, BTC/USDT:USDT]", "[BTC/USDT:USDT]")],
        GateReason.MARKET_COVERS,
        "TitanPhase marketdata: spec.symbols: BTC/USDT:USDT; TitanPhase scavenger needs BTC/USDT too",
    ),
    (
        "a market of symbols that the venue does not list",
        [DEMO, in_role("marketdata", "[BTC/USDT, ", "[XYZ/USDT, BTC/USDT, ")],
        GateReason.MARKET_COVERS,
        "TitanPhase marketdata: spec.symbols: XYZ/USDT is not listed; allowed are BTC/USDT,",
    ),
    (
        "a replay of nothing",
        [DEMO, (ROOT / "examples" / "replay" / "stack.yaml").read_text()],
        GateReason.MARKET_COVERS,
        "spec.parameters.files: empty; a replay needs recordings: give them here, or with --market FILE",
    ),
    (
        "a step longer than the venue's latency",
        [DEMO, in_role("marketdata", "seed: 1", "seed: 1\n    stepMs: 51")],
        GateReason.MARKET_COVERS,
        "spec.parameters.stepMs: 51; allowed is at most the paper venue's latencyMs, 50",
    ),
]


@pytest.mark.parametrize(("description", "texts", "reason", "sentence"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_gate_refuses_with_its_reason_and_one_sentence(
    description: str, texts: list[str], reason: GateReason, sentence: str
) -> None:
    refused, message = refusal(*texts)
    assert refused is reason
    assert sentence in message
    assert "\n" not in message


def test_a_symbol_that_the_policy_could_never_trade_is_refused() -> None:
    text = MICRO.replace('maxOrderNotional: "250"', 'maxOrderNotional: "50"')
    with pytest.raises(ValueError, match="the rules hash to") as caught:
        read(text)
    actual = str(caught.value).partition("the rules hash to ")[2].partition(",")[0]
    text = text.replace(MICRO_HASH, actual).replace("micro-67cdfba9", f"micro-{actual[7:15]}")
    stack = MICRO_PIN(STACK).replace(MICRO_HASH, actual).replace("micro-67cdfba9", f"micro-{actual[7:15]}")
    reason, message = refusal(text, stack)
    assert reason is GateReason.SYMBOLS_TRADABLE
    assert "BTC/USDT:USDT can never be traded: the venue's least order is 100 USDT" in message


def process(role: str, resources: list[Resource], options: LocalOptions = OPTIONS) -> LocalProcess:
    return next(item for item in render_local(plan(resources), options) if item.role == role)


def test_a_local_process_has_its_folder_certificate_and_peers() -> None:
    brain = process("brain", read(DEMO, STACK))
    assert brain.argv == ("/opt/bin/titan-brain",)
    assert (brain.state_dir, brain.tls_dir) == ("/var/titan/brain", "/var/titan/brain/tls")
    assert list(brain.files) == ["/var/titan/brain/policy.json"]
    assert brain.env["TITAN_POLICY_FILE"] == "/var/titan/brain/policy.json"
    assert brain.env["TITAN_PEERS"] == "marketdata=127.0.0.1:3210,execution=127.0.0.1:3012"
    assert brain.env["TITAN_BIND"] == "127.0.0.1"
    assert all(name.startswith("TITAN_") for name in brain.env)


def test_other_ports_reach_the_peers_too() -> None:
    options = LocalOptions("/var/titan", "/opt/bin", "/home/ana", ports={"execution": (5001, 5002)})
    resources = read(DEMO, STACK)
    assert process("execution", resources, options).env["TITAN_GRPC_PORT"] == "5001"
    assert process("execution", resources, options).env["TITAN_HTTP_PORT"] == "5002"
    assert "execution=127.0.0.1:5001" in process("brain", resources, options).env["TITAN_PEERS"]


def test_plan_json_holds_addresses_and_no_hash_that_a_process_could_take() -> None:
    document = json.loads(json.dumps(plan_document(quickstart(), OPTIONS)))
    assert document["addresses"] == {
        "marketdata": "127.0.0.1:3210",
        "papervenue": "127.0.0.1:3310",
        "execution": "127.0.0.1:3012",
        "brain": "127.0.0.1:3110",
    }
    assert document["http"]["scavenger"] == "http://127.0.0.1:8081"
    assert document["policy"] == {"name": "demo-d7413498", "hash": DEMO_HASH, "posture_ceiling": "ARMED"}
    assert DEMO_HASH not in json.dumps(document["processes"])


def test_relative_recordings_are_relative_to_where_the_command_ran() -> None:
    flags = Overrides(market_files=("a.gz", "/data/b.gz"), speed="max")
    market = process("marketdata", apply_overrides(read(DEMO, STACK), flags))
    assert market.env["TITAN_FILES"] == "/home/ana/a.gz,/data/b.gz"
    assert (market.env["TITAN_SOURCE"], market.env["TITAN_SPEED"]) == ("replay", "max")
    assert "TITAN_SEED" not in market.env


@pytest.mark.parametrize(
    ("description", "flags", "expected"),
    [
        ("a seed", Overrides(seed=7), {"source": "simulated", "seed": "7", "speed": "1"}),
        ("a speed", Overrides(speed="10"), {"source": "simulated", "seed": "1", "speed": "10"}),
        ("a duration", Overrides(duration_s=60), {"duration_s": "60", "seed": "1"}),
        ("recordings", Overrides(market_files=("/a",)), {"source": "replay", "files": "/a", "speed": "1"}),
    ],
)
def test_flags_override_resources(description: str, flags: Overrides, expected: dict[str, str]) -> None:
    resources = read(DEMO, STACK)
    changed = plan(apply_overrides(resources, flags))
    market = changed.workload("marketdata")
    assert {key: market.settings[key] for key in expected} == expected
    others: Callable[[Plan], list[Workload]] = lambda planned: [w for w in planned.workloads if w.role != "marketdata"]  # noqa: E731
    assert others(changed) == others(plan(resources))


def test_no_flags_change_nothing() -> None:
    resources = read(DEMO, STACK)
    assert apply_overrides(resources, Overrides()) == resources


@pytest.mark.parametrize(
    ("description", "texts", "flags", "sentence"),
    [
        ("negative seed", [STACK], Overrides(seed=-1), r"^--seed: -1 \(an integer\); allowed is an integer from 0"),
        ("speed below real time", [STACK], Overrides(speed="0.1"), r"^--speed: '0.1' \(a string\); allowed is \"max\""),
        ("speed that is no number", [STACK], Overrides(speed="fast"), r"^--speed: 'fast' \(a string\); allowed is"),
        (
            "no duration",
            [STACK],
            Overrides(duration_s=0),
            r"^--duration: 0 \(an integer\); allowed is an integer from 1",
        ),
        (
            "a seed for recordings",
            [STACK],
            Overrides(("a",), seed=1),
            r"^--seed: 1 with --market; allowed is a seed for",
        ),
        (
            "a comma in a path",
            [STACK],
            Overrides(("a,b",)),
            r"^--market: 'a,b' \(a string\); allowed is a list of up to 64 different file paths without commas",
        ),
        ("an empty path", [STACK], Overrides(("",)), r"^--market: ''"),
        (
            "no market",
            [without("marketdata")],
            Overrides(seed=1),
            r"no TitanPhase of role marketdata is given to change",
        ),
        (
            "a seed for a replay",
            [(ROOT / "examples" / "replay" / "stack.yaml").read_text()],
            Overrides(seed=1),
            r"^--seed: 1 with a replay",
        ),
    ],
)
def test_flags_that_cannot_be_are_refused(description: str, texts: list[str], flags: Overrides, sentence: str) -> None:
    with pytest.raises(OverrideError, match=sentence):
        apply_overrides(read(*texts), flags)


def test_the_replay_directory_is_enough_and_holds_the_demo_policy_itself() -> None:
    folder = ROOT / "examples" / "replay"
    assert (folder / "policy.yaml").read_text() == DEMO
    texts = [path.read_text() for path in sorted(folder.glob("*.yaml"))]
    planned = plan(apply_overrides(read(*texts), Overrides(("/usdm.gz", "/spot.gz"), speed="max")))
    assert planned.workload("marketdata").settings["files"] == "/usdm.gz,/spot.gz"
    assert not planned.simulated


@pytest.mark.parametrize("stack", ["quickstart.yaml", "replay/stack.yaml"])
def test_the_examples_say_the_demo_values_that_the_strategy_declares(stack: str) -> None:
    text = (ROOT / "examples" / stack).read_text()
    planned = plan(apply_overrides(read(DEMO, text), Overrides(("/a",))))
    written = planned.workload("scavenger").files["parameters.json"]
    assert parse_parameters(written.encode()) == ScavengerParameters()


def test_every_setting_of_the_plan_is_one_that_its_process_has(tmp_path: Path) -> None:
    options = LocalOptions(state_dir=str(tmp_path), bin_dir="/opt/bin", working_dir="/home/ana")
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for item in render_local(quickstart(), options):
        Path(item.tls_dir).mkdir(parents=True)
        package = scripts[Path(item.argv[0]).name].removesuffix(".app:main")
        settings = importlib.import_module(f"{package}.settings")
        (kind,) = [
            value
            for value in vars(settings).values()
            if isinstance(value, type) and issubclass(value, ProcessSettings) and value is not ProcessSettings
        ]
        unread = {name for name in item.env if name.removeprefix("TITAN_").lower() not in kind.__struct_fields__}
        assert unread == set(), f"{item.role} does not read {unread}"
        assert load_settings(kind, [], item.env).role == item.role
