"""Resources are planned as the workloads of a stack."""

from __future__ import annotations

import json

import pytest
import yaml

from support.stack.plans import ROOT, STACK, read
from support.stack.texts import DEMO, DEMO_HASH, MICRO, in_role, only, quickstart
from titan.domain.policy import parse_rules
from titan.domain.policy_hash import policy_hash
from titan.runtime.topology import ROLES, peers_of
from titan.strategies.scavenger.parameters import ScavengerParameters, parse_parameters
from titan_operator.planning.overrides import Overrides, apply_overrides
from titan_operator.planning.plan import plan

ROLES_OF_STACK = ["marketdata", "papervenue", "execution", "brain", "scavenger"]


def test_a_stack_is_planned_in_the_order_in_which_it_starts() -> None:
    planned = quickstart()
    assert [workload.role for workload in planned.workloads] == ROLES_OF_STACK
    assert (planned.policy_name, planned.policy_hash) == ("demo-3e1725d5", DEMO_HASH)
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
    pinned = STACK.replace("demo-3e1725d5", policy.metadata.name).replace(
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


def test_the_same_resource_in_two_files_counts_once_and_an_unpinned_policy_does_not_count() -> None:
    assert plan(read(DEMO, MICRO, STACK, DEMO, only("brain"))) == quickstart()


def test_a_suspended_phase_is_as_if_it_were_not_there() -> None:
    second = only("scavenger").replace("name: scavenger", "name: second").replace("  mode", "  suspend: true\n  mode")
    assert plan(read(DEMO, f"{STACK}---\n{second}")) == quickstart()


@pytest.mark.parametrize("stack", ["quickstart.yaml", "replay/stack.yaml"])
def test_the_examples_say_the_demo_values_that_the_strategy_declares(stack: str) -> None:
    text = (ROOT / "examples" / stack).read_text()
    planned = plan(apply_overrides(read(DEMO, text), Overrides(("/a",))))
    written = planned.workload("scavenger").files["parameters.json"]
    assert parse_parameters(written.encode()) == ScavengerParameters()
