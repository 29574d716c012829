"""Tables in PostgreSQL: their objects, and the Job that upgrades them before an image starts on them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from support.stack.model import IMAGE, NEXT_IMAGE, Model, documents, installed, quickstart
from support.stack.plans import OPTIONS, planned
from titan_operator.api import names
from titan_operator.controller.gather import missing_secrets, read_resource
from titan_operator.planning.plan import Plan
from titan_operator.reconcile.effects import RecordEvent
from titan_operator.reconcile.rollout import revision_of
from titan_operator.render.kubernetes import Child, render_kubernetes
from titan_operator.supplychain.verdict import Verdict

WITH_TABLES = ("execution", "brain")


def with_database(secret: str = "db", **fields: Any) -> Plan:
    plan = planned()
    workloads = (
        replace(item, database=secret, **fields) if item.role in WITH_TABLES else item for item in plan.workloads
    )
    return replace(plan, workloads=tuple(workloads))


def rendered(plan: Plan) -> dict[tuple[str, str], Child]:
    return {(child.kind, child.name): child for child in render_kubernetes(plan, OPTIONS)}


def jobs(plan: Plan) -> dict[str, Child]:
    return {child.role: child for child in rendered(plan).values() if child.kind == "Job"}


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item.get("value", "") for item in container["env"]}


def test_a_stack_without_a_database_has_its_tables_upgraded_in_its_pods() -> None:
    assert jobs(planned()) == {}
    for role, kind in (("execution", "StatefulSet"), ("brain", "Deployment")):
        spec = rendered(planned())[kind, role].manifest["spec"]["template"]["spec"]
        assert [item["name"] for item in spec["initContainers"]] == ["migrate"]
        assert "TITAN_DATABASE_URL_FILE" not in environment(spec["containers"][0])


def test_the_url_is_a_file_of_the_secret_and_nowhere_else() -> None:
    objects = rendered(with_database())
    for role, kind in (("execution", "StatefulSet"), ("brain", "Deployment")):
        spec = objects[kind, role].manifest["spec"]["template"]["spec"]
        assert "initContainers" not in spec
        (volume,) = [item for item in spec["volumes"] if item["name"] == "database"]
        assert volume["secret"]["secretName"] == "db"
        assert volume["secret"]["items"] == [{"key": "url", "path": "url"}]
        assert environment(spec["containers"][0])["TITAN_DATABASE_URL_FILE"] == "/etc/titan/database/url"
        # Lease, latch, journal, term and what waits for the database stay on its volume.
        assert "state" in {mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
    assert ("PersistentVolumeClaim", "brain-state") in objects
    text = json.dumps([child.manifest for child in objects.values()])
    assert "secretKeyRef" not in text
    assert "asyncpg" not in text


def test_the_job_runs_the_image_restricted_and_tries_again() -> None:
    for role, job in jobs(with_database()).items():
        spec = job.manifest["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        assert container["command"] == ["titan-migrate"]
        assert container["image"] == with_database().workload(role).image
        assert environment(container) == {
            "TITAN_LOG_FORMAT": "json",
            "TITAN_ROLE": role,
            "TITAN_DATABASE_URL_FILE": "/etc/titan/database/url",
        }
        assert spec["restartPolicy"] == "OnFailure"
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


def test_no_service_and_no_workload_takes_the_jobs_pod_for_its_own() -> None:
    objects = rendered(with_database())
    for job in jobs(with_database()).values():
        labels = job.manifest["spec"]["template"]["metadata"]["labels"].items()
        for (kind, name), child in objects.items():
            spec = child.manifest.get("spec", {})
            found = spec.get("podSelector", spec.get("selector", {}))
            selector = found.get("matchLabels", {} if "podSelector" in spec else found)
            matches = selector.items() <= labels
            ours = name in (names.DEFAULT_DENY, f"{job.phase}-migration")
            assert matches == ours or kind not in ("Service", "Deployment", "StatefulSet", "NetworkPolicy"), (
                kind,
                name,
            )


def test_who_has_a_database_reaches_it_and_nobody_else_does() -> None:
    database = {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "titan-data"}}}],
        "ports": [{"protocol": "TCP", "port": 5432}],
    }
    reach = {
        name
        for (kind, name), child in rendered(with_database()).items()
        if kind == "NetworkPolicy" and database in child.manifest["spec"].get("egress", [])
    }
    assert reach == {"execution", "brain", "execution-migration", "brain-migration"}
    objects = rendered(with_database())
    assert "ingress" not in objects["NetworkPolicy", "brain-migration"].manifest["spec"]
    assert "5432" not in json.dumps([child.manifest for child in rendered(planned()).values()])


def test_another_image_or_database_is_another_job_and_another_setting_is_not() -> None:
    before = {role: job.name for role, job in jobs(with_database()).items()}
    image = f"titan/titan@sha256:{'1' * 64}"
    assert not set(before.values()) & {job.name for job in jobs(with_database(image=image)).values()}
    assert not set(before.values()) & {job.name for job in jobs(with_database("other")).values()}
    same = with_database(settings={"mode": "paper"}, storage="2Gi")
    assert {role: job.name for role, job in jobs(same).items()} == before


# Many passes.


def on_database(model: Model) -> Model:
    for name in WITH_TABLES:
        model.edit("TitanPhase", name, lambda raw: raw["spec"].update(databaseSecretRef={"name": "db"}))
    return model


def running(model: Model, name: str) -> str:
    kind = "StatefulSet" if name == "execution" else "Deployment"
    return revision_of(model.objects[kind, name])


def jobs_of(model: Model) -> list[str]:
    return sorted(name for kind, name in model.objects if kind == "Job")


def next_image(model: Model) -> None:
    model.verdicts[NEXT_IMAGE] = Verdict(True, message="listed")
    for name in ("marketdata", "papervenue", "execution", "brain", "scavenger"):
        model.edit("TitanPhase", name, lambda raw: raw["spec"].update(image=NEXT_IMAGE))


def begun(**fields: Any) -> Model:
    model = Model(**fields)
    model.verdicts[IMAGE] = Verdict(True, message="listed")
    model.create(*quickstart())
    return on_database(model)


def test_nothing_is_started_before_its_tables_are_there() -> None:
    model = begun(jobs="")
    for _ in range(5):
        model.step()
    assert ("StatefulSet", "execution") not in model.objects
    assert ("Deployment", "brain") not in model.objects
    assert ("Deployment", "marketdata") in model.objects
    ready = model.condition("brain", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "StorageMigrated")
    assert "upgrades the tables" in ready["message"]
    assert model.condition("brain", "StorageMigrated")["status"] == "Unknown"
    model.jobs = "Complete"
    model.settle()
    assert model.condition("brain", "Ready")["status"] == "True"
    assert model.condition("execution", "StorageMigrated")["status"] == "True"


def test_a_roll_waits_for_the_job_and_what_runs_goes_on() -> None:
    model = on_database(installed())
    model.settle()
    before, old_jobs = {name: running(model, name) for name in WITH_TABLES}, jobs_of(model)
    assert len(old_jobs) == 2
    model.jobs = ""
    next_image(model)
    for _ in range(5):
        model.step()
    assert {name: running(model, name) for name in WITH_TABLES} == before
    assert f"revision {before['brain']} goes on" in model.condition("brain", "Ready")["message"]
    model.jobs = "Complete"
    model.settle()
    assert {name: running(model, name) for name in WITH_TABLES}.items().isdisjoint(before.items())
    assert model.condition("brain", "Ready")["status"] == "True"
    assert set(jobs_of(model)).isdisjoint(old_jobs), "the Jobs of before are taken away"


def test_a_migration_that_fails_changes_nothing_that_runs_and_is_tried_again_when_its_job_is_deleted() -> None:
    model = on_database(installed())
    model.settle()
    before = running(model, "brain")
    model.jobs = "Failed"
    next_image(model)
    for _ in range(5):
        model.step()
    assert running(model, "brain") == before
    assert model.condition("brain", "StorageMigrated")["status"] == "False"
    assert model.condition("brain", "Stalled")["status"] == "True"
    assert "delete it to try again" in model.condition("brain", "Ready")["message"]
    model.jobs = "Complete"
    model.step()
    assert running(model, "brain") == before
    for name in jobs_of(model):
        del model.objects["Job", name]
    model.settle()
    assert running(model, "brain") != before


def test_back_to_the_volume_takes_the_job_away() -> None:
    model = on_database(installed())
    model.settle()
    for name in WITH_TABLES:
        model.edit("TitanPhase", name, lambda raw: raw["spec"].pop("databaseSecretRef"))
    model.settle()
    assert jobs_of(model) == []


def test_a_database_that_is_away_is_said_with_how_far_behind_it_is_and_nothing_else_changes() -> None:
    model = on_database(installed())
    model.settle()
    assert model.condition("execution", "TablesWritten")["status"] == "True"
    assert model.condition("marketdata", "TablesWritten") == {}
    model.tables = ("database: cannot be written (connection refused)", 1234)
    model.settle()
    said = model.condition("execution", "TablesWritten")
    assert (said["status"], said["reason"]) == ("False", "DatabaseAway")
    assert said["message"] == "database: cannot be written (connection refused); 1,000 rows or more wait for it"
    assert model.condition("execution", "Ready")["status"] == "True"
    assert model.condition("brain", "TablesWritten")["status"] == "True"
    before = model.status("execution")
    model.tables = (model.tables[0], 1240)
    model.settle()
    assert model.status("execution") == before, "each further row is no write of the status"
    model.tables = ("", 0)
    model.settle()
    assert model.condition("execution", "TablesWritten")["status"] == "True"
    model.answers = False
    model.step()
    assert model.condition("execution", "TablesWritten")["status"] == "Unknown"


def test_a_secret_that_is_missing_is_named_and_nothing_starts() -> None:
    model = begun(missing_secrets={"brain": "spec.databaseSecretRef: Secret db lacks url"})
    for _ in range(5):
        model.step()
    assert model.condition("brain", "Ready")["reason"] == "SecretsPresent"
    assert "Secret db lacks url" in model.condition("brain", "Ready")["message"]
    assert ("Deployment", "brain") not in model.objects
    assert not [name for name in jobs_of(model) if name.startswith("brain")]
    assert [effect for effect in model.log if isinstance(effect, RecordEvent) and "lacks url" in effect.note]


def test_each_key_that_a_phase_needs_is_looked_for() -> None:
    phases = [
        read_resource("TitanPhase", raw) for raw in documents("examples/quickstart.yaml") if raw["kind"] == "TitanPhase"
    ]
    raws = {
        item.name: dict(item.raw, spec={**item.raw["spec"], "databaseSecretRef": {"name": "db"}}) for item in phases
    }
    asked = [read_resource("TitanPhase", raws[name]) for name in WITH_TABLES]
    for keys, says in (
        ({}, "spec.databaseSecretRef: Secret db is not there"),
        ({"db": frozenset({"password"})}, "spec.databaseSecretRef: Secret db lacks url"),
    ):
        assert missing_secrets(asked, keys) == dict.fromkeys(WITH_TABLES, says)
    assert missing_secrets(asked, {"db": frozenset({"url"})}) == {}
    assert missing_secrets(phases, {}) == {}
