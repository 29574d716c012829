"""The pod runner by the pods of real controllers: volumes, probes, restarts, ends."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from testcluster.controlplane import ControlPlane

from support.podrunner.runner import PodRunner, PodRunnerError
from support.podrunner.small_pods import SERVER, Hands, container, pod_spec, until, workload
from support.stack.titan_up import wait_until_gone

CONFIG = "/etc/small/config"
_numbers = itertools.count(1)
WAITS = "import time; print('waits', flush=True); time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


# A control plane of the module's own: a runner runs the pods of every namespace, also those of other tests.
@pytest.fixture(scope="module")
def runner(module_cluster: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodRunner]:
    with PodRunner(module_cluster, tmp_path_factory.mktemp("runner")) as runner:
        yield runner


@pytest.fixture
def hands(module_cluster: ControlPlane, runner: PodRunner) -> Iterator[Hands]:
    name = f"test-{next(_numbers)}"
    module_cluster.create_namespace(name)
    yield Hands(module_cluster, name)
    module_cluster.kubectl("delete", "namespace", name, "--wait=false")


def page(address: str, path: str = "/") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}:8000{path}", timeout=2) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def ready(pod: dict[str, Any]) -> bool:
    conditions = {item["type"]: item["status"] for item in pod["status"].get("conditions", ())}
    return conditions.get("Ready") == "True"


def only(hands: Hands) -> dict[str, Any]:
    pods = [pod for pod in hands.pods().values() if "deletionTimestamp" not in pod["metadata"]]
    return pods[0] if len(pods) == 1 else {"metadata": {"name": ""}, "status": {}}


def state(pod: dict[str, Any]) -> dict[str, Any]:
    statuses = pod["status"].get("containerStatuses") or [{}]
    found: dict[str, Any] = statuses[0]
    return found


def waiting(pod: dict[str, Any]) -> str:
    return str(state(pod).get("state", {}).get("waiting", {}).get("message", ""))


def config(text: str, name: str = "small") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"ready": text}}


def server(**more: Any) -> dict[str, Any]:
    get = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1}
    return container(
        SERVER,
        CONFIG,
        env=[{"name": "BIND", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}, *more.pop("env", ())],
        ports=[{"name": "http", "containerPort": 8000}],
        readinessProbe=get,
        volumeMounts=[{"name": "config", "mountPath": CONFIG}, *more.pop("volumeMounts", ())],
        **more,
    )


VOLUME = {"name": "config", "configMap": {"name": "small"}}


def test_a_changed_config_map_is_seen_by_the_running_process_and_decides_its_readiness(hands: Hands) -> None:
    hands.apply(config("no"), workload("Deployment", "web", pod_spec(server(), volumes=[VOLUME])))
    until(lambda: page(only(hands)["status"].get("podIP", ""))[0] == 503, "it serves")
    pod = only(hands)
    assert not ready(pod)
    assert pod["status"]["phase"] == "Running"
    assert pod["spec"]["nodeName"] == "local"
    hands.apply(config("yes"))
    until(lambda: page(pod["status"]["podIP"]) == (200, "yes"), "the new content is there")
    until(lambda: ready(only(hands)), "it is ready")
    assert hands.get("deployment", "web")["status"]["availableReplicas"] == 1
    hands.apply(config("no"))
    until(lambda: not ready(only(hands)), "it is not ready any longer")
    assert state(only(hands))["restartCount"] == 0


def test_environment_and_paths_are_resolved_and_translated(hands: Hands, runner: PodRunner) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "keys"},
        "data": {"key": base64.b64encode(b"hidden").decode()},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "other"},
        "spec": {"selector": {"app.kubernetes.io/instance": "web"}, "ports": [{"port": 8000}]},
    }
    env = [
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}},
        {"name": "FROM", "valueFrom": {"configMapKeyRef": {"name": "small", "key": "ready"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "SPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "FILE", "value": f"{CONFIG}/ready"},
        {"name": "NOT_A_MOUNT", "value": f"{CONFIG}uration"},
        {"name": "PEERS", "value": f"web=other.{hands.namespace}.svc:8000,gone=gone.{hands.namespace}.svc:1"},
        {"name": "BOTH", "value": "$(KEY)-$(UNKNOWN)-$$(KEY)"},
        {"name": "TOKEN_FILE", "value": "/var/run/secrets/kubernetes.io/serviceaccount/token"},
        {"name": "LOCKED", "value": "/etc/small/keys/key"},
    ]
    mounts = [{"name": "keys", "mountPath": "/etc/small/keys"}, {"name": "tmp", "mountPath": "/tmp"}]
    volumes = [
        VOLUME,
        {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o440}},
        {"name": "tmp", "emptyDir": {}},
    ]
    spec = pod_spec(server(env=env, volumeMounts=mounts), volumes=volumes, automountServiceAccountToken=True)
    hands.apply(service, secret, config("yes"), workload("Deployment", "web", spec))
    until(lambda: ready(only(hands)), "it is ready")
    pod = only(hands)
    address = pod["status"]["podIP"]
    found = json.loads(page(address, "/env")[1])
    assert found["KEY"] == "hidden"
    assert found["FROM"] == "yes"
    assert (found["NAME"], found["SPACE"]) == (pod["metadata"]["name"], hands.namespace)
    assert Path(found["FILE"]).read_text() == "yes"
    assert found["NOT_A_MOUNT"] == f"{CONFIG}uration"
    assert found["PEERS"] == f"web={address}:8000,gone=gone.{hands.namespace}.svc:1"
    assert found["BOTH"] == "hidden-$(UNKNOWN)-$(KEY)"
    assert Path(found["LOCKED"]).stat().st_mode & 0o777 == 0o440
    assert Path(found["TMPDIR"]).is_dir()
    # The token is the pod's own, and the API server knows it.
    assert Path(found["TOKEN_FILE"]).parent == Path(found["TITAN_SERVICE_ACCOUNT_DIR"])
    token = Path(found["TOKEN_FILE"]).read_text()
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    done = hands.cluster.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review)).stdout
    user = json.loads(done)["status"]["user"]
    assert user["username"] == f"system:serviceaccount:{hands.namespace}:default"
    assert user["extra"]["authentication.kubernetes.io/pod-name"] == [pod["metadata"]["name"]]


def test_the_address_of_a_service_stays_and_its_next_pod_waits_for_the_last(hands: Hands) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app.kubernetes.io/instance": "web"}, "ports": [{"port": 8000}]},
    }
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    spec = pod_spec(server(), volumes=[VOLUME])
    hands.apply(service, config("yes"), workload("Deployment", "web", spec, strategy=strategy))
    until(lambda: ready(only(hands)), "the first is ready")
    first = only(hands)
    changed = pod_spec(server(env=[{"name": "NEW", "value": "1"}]), volumes=[VOLUME])
    hands.apply(workload("Deployment", "web", changed, strategy=strategy))
    hands.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    second = only(hands)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert second["status"]["podIP"] == first["status"]["podIP"]
    assert state(second)["restartCount"] == 0
    assert json.loads(page(second["status"]["podIP"], "/env")[1])["NEW"] == "1"


def test_a_volume_outlives_its_pod_and_ends_with_its_claim(hands: Hands, runner: PodRunner) -> None:
    counts = (
        "import pathlib, time; file = pathlib.Path('/var/lib/small/runs');"
        " file.open('a').write('x'); print('runs', len(file.read_text()), flush=True); time.sleep(600)"
    )
    claim = {
        "metadata": {"name": "state"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    spec = pod_spec(container(counts, volumeMounts=[{"name": "state", "mountPath": "/var/lib/small"}]))
    hands.apply(workload("StatefulSet", "keeps", spec, serviceName="keeps", volumeClaimTemplates=[claim]))
    until(lambda: "runs 1" in runner.log(hands.namespace, "keeps-0"), "the first run")
    assert hands.get("pvc", "state-keeps-0")["status"]["phase"] == "Bound"
    until(lambda: ready(hands.get("pod", "keeps-0")), "it is ready")
    hands.kubectl("delete", "pod", "keeps-0")
    until(lambda: "runs 2" in runner.log(hands.namespace, "keeps-0"), "the second run")
    runner.kill(hands.namespace, "keeps-0")
    until(lambda: "runs 3" in runner.log(hands.namespace, "keeps-0"), "the third run, after a kill")
    until(lambda: state(hands.get("pod", "keeps-0")).get("restartCount") == 1, "the restart is counted")
    volume = hands.get("pvc", "state-keeps-0")["spec"]["volumeName"]
    folder = Path(hands.get("pv", volume)["spec"]["hostPath"]["path"])
    assert (folder / "runs").read_text() == "xxx"
    hands.kubectl("delete", "statefulset", "keeps")
    hands.kubectl("delete", "pvc", "state-keeps-0")
    until(lambda: not folder.exists(), "the folder is gone")


def test_jobs_end_as_their_programs_do(hands: Hands, runner: PodRunner) -> None:
    def job(name: str, program: str) -> dict[str, Any]:
        template = {"spec": pod_spec(container(program), restartPolicy="Never")}
        spec = {"backoffLimit": 0, "template": template}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}

    hands.apply(job("good", "print('did it')"), job("bad", "raise SystemExit(3)"))
    hands.kubectl("wait", "--for=condition=Complete", "job/good", "--timeout=120s")
    hands.kubectl("wait", "--for=condition=Failed", "job/bad", "--timeout=120s")
    pods = {pod["metadata"]["labels"]["job-name"]: pod for pod in hands.pods().values()}
    assert runner.log(hands.namespace, pods["good"]["metadata"]["name"]) == "did it\n"
    assert state(pods["bad"])["state"]["terminated"]["exitCode"] == 3
    assert (pods["good"]["status"]["phase"], pods["bad"]["status"]["phase"]) == ("Succeeded", "Failed")


def test_a_program_that_ends_is_started_again_after_a_wait(hands: Hands) -> None:
    hands.apply(workload("Deployment", "crash", pod_spec(container("raise SystemExit(2)"))))
    until(lambda: state(only(hands)).get("restartCount", 0) >= 2, "it was started again")
    found = until(lambda: (one := state(only(hands)))["state"].get("waiting") and one, "it waits")
    assert found["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert found["lastState"]["terminated"]["exitCode"] == 2
    assert not ready(only(hands))


def test_what_does_not_answer_its_liveness_probe_is_restarted(hands: Hands, runner: PodRunner) -> None:
    probe = {"httpGet": {"path": "/stuck", "port": 8000}, "periodSeconds": 1, "failureThreshold": 2}
    spec = pod_spec(server(livenessProbe=probe), volumes=[VOLUME])
    hands.apply(config("yes"), workload("Deployment", "web", spec))
    until(lambda: ready(only(hands)), "it is ready")
    pid = runner.pid(hands.namespace, only(hands)["metadata"]["name"])
    stuck = config("yes")
    stuck["data"]["stuck"] = "yes"
    hands.apply(stuck)
    until(lambda: state(only(hands)).get("restartCount") == 1, "it was restarted")
    assert wait_until_gone([pid]) == []
    assert "liveness probe failed: HTTP 500" in json.dumps(state(only(hands))["lastState"])


def test_what_never_starts_is_restarted_and_not_probed_otherwise(hands: Hands) -> None:
    startup = {"tcpSocket": {"port": 9}, "periodSeconds": 1, "failureThreshold": 1}
    exec_ready = {"exec": {"command": ["python3", "-c", ""]}}
    spec = pod_spec(container(WAITS, startupProbe=startup, readinessProbe=exec_ready))
    hands.apply(workload("Deployment", "slow", spec))
    until(lambda: state(only(hands)).get("restartCount", 0) >= 1, "it was restarted")
    assert "startup probe failed" in json.dumps(state(only(hands))["lastState"])
    assert not ready(only(hands))


def test_init_containers_run_first_one_after_the_other(hands: Hands, runner: PodRunner) -> None:
    mount = [{"name": "data", "mountPath": "/data"}]

    def step(name: str, program: str) -> dict[str, Any]:
        return container(program, volumeMounts=mount) | {"name": name}

    first = step("one", "open('/data/file', 'x').write('1'); print('one')")
    second = step("two", "print('two after', open('/data/file').read())")
    main = step("main", "import time; print('main after', open('/data/file').read(), flush=True); time.sleep(600)")
    volumes = [{"name": "data", "emptyDir": {}}]
    hands.apply(workload("Deployment", "steps", pod_spec(main, initContainers=[first, second], volumes=volumes)))
    until(lambda: ready(only(hands)), "it is ready")
    name = only(hands)["metadata"]["name"]
    assert runner.log(hands.namespace, name, "two") == "two after 1\n"
    until(lambda: runner.log(hands.namespace, name, "main") == "main after 1\n", "the main container")


def test_what_a_pod_needs_and_is_not_there_is_waited_for(hands: Hands, runner: PodRunner) -> None:
    spec = pod_spec(
        server(env=[{"name": "X", "valueFrom": {"secretKeyRef": {"name": "late", "key": "x"}}}]), volumes=[VOLUME]
    )
    hands.apply(workload("Deployment", "web", spec))
    until(lambda: 'configmap "small" not found' in waiting(only(hands)), "it says what is missing")
    hands.apply(config("yes"))
    until(lambda: 'secret "late" not found' in waiting(only(hands)), "it says what else is missing")
    hands.kubectl("create", "secret", "generic", "late", "--from-literal=x=1")
    until(lambda: ready(only(hands)), "it is ready")


def test_a_deleted_pod_may_end_in_its_time_and_is_killed_after_it(hands: Hands, runner: PodRunner) -> None:
    hands.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "deaf"}, "spec": pod_spec(container(DEAF))},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "waits"}, "spec": pod_spec(container(WAITS))},
    )
    until(lambda: "deaf" in runner.log(hands.namespace, "deaf"), "deaf runs")
    until(lambda: "waits" in runner.log(hands.namespace, "waits"), "waits runs")
    pids = {name: runner.pid(hands.namespace, name) for name in ("deaf", "waits")}
    hands.kubectl("delete", "pod", "waits")
    assert wait_until_gone([pids["waits"]], 0.5) == []
    hands.kubectl("delete", "pod", "deaf", "--wait=false")
    assert wait_until_gone([pids["deaf"]], 0.5) == [pids["deaf"]]
    assert wait_until_gone([pids["deaf"]], 4) == []
    until(lambda: not hands.pods(), "both are gone")


def test_what_is_deleted_by_force_is_killed_at_once(hands: Hands, runner: PodRunner) -> None:
    spec = pod_spec(container(DEAF), terminationGracePeriodSeconds=300)
    hands.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "deaf"}, "spec": spec})
    until(lambda: "deaf" in runner.log(hands.namespace, "deaf"), "it runs")
    pid = runner.pid(hands.namespace, "deaf")
    hands.kubectl("delete", "pod", "deaf", "--grace-period=0", "--force")
    assert wait_until_gone([pid], 3) == []
    with pytest.raises(PodRunnerError, match="nothing runs of pod"):
        runner.pid(hands.namespace, "deaf")


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("runAsNonRoot is not true", {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}),
        ("seccompProfile.type is not RuntimeDefault", {"securityContext": {"runAsNonRoot": True}}),
        ("hostNetwork is set", {"hostNetwork": True}),
        ("volume host: hostPath is not allowed", {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}),
        ("readOnlyRootFilesystem is not true", {"containers": [{"name": "x", "image": "x", "command": ["x"]}]}),
        ("it has no command", {"containers": [{"name": "x", "image": "x"}]}),
    ],
)
def test_what_restricted_pod_security_refuses_does_not_run(hands: Hands, why: str, change: dict[str, Any]) -> None:
    spec = pod_spec(container(WAITS)) | change
    hands.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "refused"}, "spec": spec})
    until(lambda: why in hands.get("pod", "refused")["status"].get("message", ""), "it says why")
    assert hands.get("pod", "refused")["status"]["phase"] == "Pending"
    hands.kubectl("delete", "pod", "refused", "--timeout=120s")


def test_processes_outlive_the_api_server_and_none_outlives_the_runner(
    own_cluster: ControlPlane, tmp_path: Path
) -> None:
    hands = Hands(own_cluster, "default")
    starts = "import subprocess, time; subprocess.Popen(['sleep', '600']); print('up', flush=True); time.sleep(600)"
    with PodRunner(own_cluster, tmp_path / "runner") as runner:
        hands.apply(workload("StatefulSet", "small", pod_spec(container(starts)), serviceName="small"))
        until(lambda: "up" in runner.log("default", "small-0"), "it runs")
        pid = runner.pid("default", "small-0")
        child = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        own_cluster.restart_apiserver(kill=True)
        assert runner.pid("default", "small-0") == pid
        assert hands.get("pod", "small-0")["status"]["phase"] == "Running"
        # Its watches are followed again.
        hands.kubectl("delete", "pod", "small-0")
        assert wait_until_gone([pid, child], 3) == []
        until(lambda: runner.log("default", "small-0").count("up") == 2, "the next one runs")
        pids = runner.pids()
    assert len(pids) == 1
    assert wait_until_gone(pids) == []


def test_what_the_runner_itself_does_wrong_is_told_by_who_leaves_it(
    module_cluster: ControlPlane, tmp_path: Path
) -> None:
    (tmp_path / "pods").write_text("a file where a folder should be")
    hands = Hands(module_cluster, "default")
    runner = PodRunner(module_cluster, tmp_path)
    hands.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": pod_spec(container(WAITS))})
    with pytest.raises(PodRunnerError, match=r"(?s)pod default/pod: .*NotADirectoryError"), runner:
        until(lambda: runner.failures, "it has failed")
    hands.kubectl("delete", "pod", "pod", "--force", "--grace-period=0")


def test_a_volume_that_cannot_be_written_anew_is_told_and_its_pod_ended(
    module_cluster: ControlPlane, tmp_path: Path
) -> None:
    hands = Hands(module_cluster, "default")
    runner = PodRunner(module_cluster, tmp_path)
    mount = [{"name": "config", "mountPath": CONFIG}]
    spec = pod_spec(container(WAITS, volumeMounts=mount), volumes=[VOLUME])
    hands.apply(config("yes"), {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec})

    def break_it() -> None:
        with runner:
            until(lambda: "waits" in runner.log("default", "pod"), "it runs")
            pid = runner.pid("default", "pod")
            volume = next((tmp_path / "pods" / "default").glob("pod-*/volumes/config"))
            shutil.rmtree(volume)
            volume.write_text("a file where a folder should be")
            hands.apply(config("no"))
            until(lambda: runner.failures, "it has failed")
            assert wait_until_gone([pid], 3) == []

    with pytest.raises(PodRunnerError, match=r"(?s)pod default/pod: .*FileExistsError"):
        break_it()
    hands.kubectl("delete", "pod", "pod", "--force", "--grace-period=0")
