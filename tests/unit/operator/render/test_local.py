"""A plan is rendered as processes of this machine."""

from __future__ import annotations

import importlib
import json
import tomllib
from pathlib import Path

from support.stack.plans import ROOT, STACK, read
from support.stack.texts import DEMO, DEMO_HASH, quickstart
from titan.runtime.settings import ProcessSettings, load_settings
from titan_operator.api import Resource
from titan_operator.planning.overrides import Overrides, apply_overrides
from titan_operator.planning.plan import plan
from titan_operator.render.local import LocalOptions, LocalProcess, plan_document, render_local

OPTIONS = LocalOptions(state_dir="/var/titan", bin_dir="/opt/bin", working_dir="/home/ana")


def test_the_ceiling_is_the_policys() -> None:
    planned = plan(read(DEMO.replace("posture: ARMED", "posture: HALTED"), STACK))
    assert planned.workload("brain").live == {"posture_ceiling": "HALTED"}
    assert process("brain", read(DEMO, STACK)).env["TITAN_POSTURE_CEILING"] == "ARMED"


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
    assert document["policy"] == {"name": "demo-3e1725d5", "hash": DEMO_HASH, "posture_ceiling": "ARMED"}
    assert DEMO_HASH not in json.dumps(document["processes"])


def test_relative_recordings_are_relative_to_where_the_command_ran() -> None:
    flags = Overrides(market_files=("a.gz", "/data/b.gz"), speed="max")
    market = process("marketdata", apply_overrides(read(DEMO, STACK), flags))
    assert market.env["TITAN_FILES"] == "/home/ana/a.gz,/data/b.gz"
    assert (market.env["TITAN_SOURCE"], market.env["TITAN_SPEED"]) == ("replay", "max")
    assert "TITAN_SEED" not in market.env


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
