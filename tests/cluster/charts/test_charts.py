"""The charts: linted, checked against the API server's own schemas, refused with wrong values, installed."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from testcluster.controlplane import ControlPlane
from testcluster.openapi_schemas import LOCATION, write_schemas

from support.cluster.as_user import AsUser
from support.cluster.charts import DIGEST, IMAGE, ROOT, VARIANTS, objects, rendered, sets
from support.stack.shown_secrets import secrets_in_commands

CHARTS = sorted(path.parent.name for path in (ROOT / "charts").glob("*/Chart.yaml"))
DOCUMENTS = sorted(
    [*(ROOT / "crds").glob("*.yaml"), *(ROOT / "policies").glob("*.yaml"), ROOT / "examples/quickstart.yaml"]
)
CRD = "CustomResourceDefinition"
_IDS = [f"{chart}: {what}" for chart, what, _ in VARIANTS]


@pytest.fixture(scope="module")
def schemas(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schemas")
    api = AsUser(plane)
    paths = api.must("GET", "/openapi/v3")["paths"]
    served = [path for path in paths if path == "api/v1" or path.count("/") == 2]
    assert write_schemas((api.must("GET", f"/openapi/v3/{path}") for path in served), folder) > 100
    return folder


def kubeconform(plane: ControlPlane, schemas: Path, text: str) -> subprocess.CompletedProcess[str]:
    tool = str(plane.tools["kubeconform"])
    command = [tool, "-strict", "-verbose", "-schema-location", f"{schemas}/{LOCATION}", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_every_chart_has_its_variants() -> None:
    assert {chart for chart, _, _ in VARIANTS} == set(CHARTS)


@pytest.mark.parametrize(("chart", "what", "values"), VARIANTS, ids=_IDS)
def test_lint(plane: ControlPlane, chart: str, what: str, values: tuple[str, ...]) -> None:
    plane.helm("lint", "--strict", str(ROOT / "charts" / chart), *sets(values))


@pytest.mark.parametrize(("chart", "what", "values"), VARIANTS, ids=_IDS)
def test_what_it_renders_fits_the_schemas_of_the_api_server(
    plane: ControlPlane, schemas: Path, chart: str, what: str, values: tuple[str, ...]
) -> None:
    text = rendered(plane, chart, values)
    checked = kubeconform(plane, schemas, text)
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.count(" is valid") == len(objects(text))


@pytest.mark.parametrize(("chart", "what", "values"), VARIANTS, ids=_IDS)
def test_no_command_shows_a_secret(plane: ControlPlane, chart: str, what: str, values: tuple[str, ...]) -> None:
    assert secrets_in_commands(objects(rendered(plane, chart, values))) == []


def test_a_chart_whose_command_shows_one_is_found(plane: ControlPlane) -> None:
    text = rendered(plane, "titan-data", ("nats.enabled=true", f"nats.image=nats@{DIGEST}"))
    shown = text.replace("/etc/nats/nats.conf]", "/etc/nats/nats.conf, --pass, $(NATS_PASSWORD)]", 1)
    assert secrets_in_commands(objects(shown)) == ["StatefulSet/nats: container nats: NATS_PASSWORD"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_applied_by_hand_fits_them_too(plane: ControlPlane, schemas: Path, path: Path) -> None:
    checked = kubeconform(plane, schemas, path.read_text())
    assert checked.returncode == 0, checked.stdout
    assert " is valid" in checked.stdout


@pytest.mark.parametrize(
    ("description", "wrong", "right"),
    [
        ("a field that there is not", "replica: 1", "replicas: 1"),
        ("a wrong type", "replicas: one", "replicas: 1"),
        ("a nested field that there is not", "enableServiceLink: false", "enableServiceLinks: false"),
        ("a probe's field that there is not", "periodSecond: 1", "periodSeconds: 1"),
    ],
)
def test_the_schemas_refuse(plane: ControlPlane, schemas: Path, description: str, wrong: str, right: str) -> None:
    text = rendered(plane, "titan", (f"image.digest={DIGEST}",))
    assert right in text
    assert kubeconform(plane, schemas, text.replace(right, wrong, 1)).returncode != 0


# chart, values, what the message names
REFUSED = [
    ("titan-admission", ("operator.imageDigests={titan:1}",), "/operator/imageDigests/0"),
    ("titan-admission", ("stackNamespaces={}",), "/stackNamespaces"),
    ("titan-admission", ("stackNamespaces={Titan}",), "/stackNamespaces/0"),
    ("titan-admission", ("guard.scope=all",), "/guard/scope"),
    ("titan-admission", ("guard.exemptNamespace={a}",), "exemptNamespace"),
    ("titan-admission", ("extraControllers={it's}",), "/extraControllers/0"),
    ("titan", ("image.digest=latest",), "/image/digest"),
    ("titan", ("image.tag=v1",), "tag"),
    ("titan", (), "image.digest: missing"),
    ("titan", (f"image.digest={DIGEST}", "replicas=2"), "replicas"),
    ("titan", (f"image.digest={DIGEST}", "settings.canarySeconds=600"), "/settings/canarySeconds"),
    ("titan", (f"image.digest={DIGEST}", "settings.logLevel=trace"), "/settings/logLevel"),
    ("titan", (f"image.digest={DIGEST}", "stackNamespaces={}"), "/stackNamespaces"),
    ("titan", (f"image.digest={DIGEST}", "trustPolicy.revokedDigest={a}"), "revokedDigest"),
    ("titan", (f"image.digest={DIGEST}", "trustPolicy.keys[0].name=a,trustPolicy.keys[0].pem=b"), "images"),
    ("titan", (f"image.digest={DIGEST}", "trustPolicy.onRevocation=Delete"), "/trustPolicy/onRevocation"),
    ("titan", (f"image.digest={DIGEST}", "image.pullSecrets={registry}"), "pullSecrets"),
    *(
        (chart, (f"image={IMAGE}", value) if chart == "titan-stack" else (value,), names)
        for chart in ("titan", "titan-stack", "titan-data")
        for value, names in (
            ("imagePullSecrets={registry}", "/imagePullSecrets/0"),
            ("imagePullSecrets[0].name=Registry", "/imagePullSecrets/0/name"),
            ("imagePullSecrets[0].password=hush", "/imagePullSecrets/0"),
        )
    ),
    ("titan-stack", (f"image={IMAGE}", "phases.brain.imagePullSecrets[0].name=registry"), "imagePullSecrets"),
    ("titan", ("release.digests.operator=latest",), "/release/digests/operator"),
    ("titan", ("release.digests.operators=latest",), "operators"),
    ("titan", ("release.registry=https://registry.example",), "/release/registry"),
    ("titan-stack", (), "image: missing"),
    ("titan-stack", ("image=titan/titan:1",), "/image"),
    ("titan-stack", (f"image={IMAGE}", "policy=yolo"), "/policy"),
    ("titan-stack", (f"image={IMAGE}", "posture=armed"), "/posture"),
    ("titan-stack", (f"image={IMAGE}", "mode=trial"), "/mode"),
    ("titan-stack", (f"image={IMAGE}", "phases.hunter.role=hunter"), "role"),
    ("titan-stack", (f"image={IMAGE}", "phases.brain.image=other"), "image"),
    ("titan-stack", (f"image={IMAGE}", "phases.brain.databaseSecretRef.url=postgresql://hush"), "url"),
    ("titan-stack", (f"image={IMAGE}", "existingPolicy.name=mine-12345678"), "existingPolicy.hash: missing"),
    ("titan-data", ("postgresql.enabled=true",), "postgresql.image: missing"),
    ("titan-data", ("postgresql.enabled=true", "postgresql.image=postgres:17"), "/postgresql/image"),
    ("titan-data", ("nats.enabled=true",), "nats.image: missing"),
    ("titan-data", ("nats.password=secret",), "password"),
    ("titan-data", ("postgresql.runAsUser=0",), "/postgresql/runAsUser"),
]


@pytest.mark.parametrize(
    ("chart", "values", "names"), REFUSED, ids=[f"{row[0]}: {row[2]} {row[1][-1:]}" for row in REFUSED]
)
def test_wrong_values_are_refused_by_name(plane: ControlPlane, chart: str, values: tuple[str, ...], names: str) -> None:
    done = plane.helm("template", str(ROOT / "charts" / chart), *sets(values), check=False)
    assert done.returncode != 0
    assert names in done.stderr


def _specs(documents: list[dict[str, Any]]) -> dict[tuple[str, str], Any]:
    return {(item["kind"], item["metadata"]["name"]): item["spec"] for item in documents}


def test_a_stack_as_it_is_is_the_quick_start(plane: ControlPlane) -> None:
    files = [ROOT / "policies" / "demo.yaml", ROOT / "examples" / "quickstart.yaml"]
    by_hand = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    made = objects(rendered(plane, "titan-stack", (f"image={IMAGE}",)))
    assert _specs(made) == _specs(by_hand)
    assert _specs(objects(rendered(plane, "titan-stack", (f"image={IMAGE}", "posture=HALTED")))) != _specs(by_hand)


@pytest.mark.parametrize(("chart", "what", "values"), VARIANTS, ids=_IDS)
def test_the_api_server_takes_it_and_warns_of_nothing(
    plane: ControlPlane, chart: str, what: str, values: tuple[str, ...]
) -> None:
    everything = objects(rendered(plane, chart, values))
    made = [item for item in everything if item["metadata"].get("namespace") != "second" and item["kind"] != CRD]
    if not made:
        assert (chart, what) == ("titan-data", "as it is")
        return
    text = yaml.safe_dump_all(made)
    done = plane.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=text)
    assert "Warning" not in done.stderr, done.stderr


def test_an_uninstalled_operator_leaves_the_stacks_namespaces(plane: ControlPlane) -> None:
    plane.helm("install", "titan", str(ROOT / "charts/titan"), "--namespace", "titan-system",
               *sets((f"image.digest={DIGEST}", "stackNamespaces={kept}")))  # fmt: skip
    plane.helm("uninstall", "titan", "--namespace", "titan-system")
    assert plane.kubectl("get", "namespace", "kept", "-o", "jsonpath={.status.phase}").stdout == "Active"
    assert plane.kubectl("get", "crd", "riskpolicies.titan.trading", "-o", "name").stdout
    gone = plane.kubectl("get", "deployment,role,clusterrole", "-A", "-l", "app.kubernetes.io/part-of=titan").stdout
    assert gone == ""


def test_a_stack_that_no_operator_has_seen_is_not_ready(plane: ControlPlane) -> None:
    """The API server puts in a status that is about no generation: what waits would else be content at once."""
    done = plane.helm("install", "unseen", str(ROOT / "charts/titan-stack"), "--namespace", "titan", "--wait",
                      "--timeout", "4s", *sets((f"image={IMAGE}",)), check=False)  # fmt: skip
    assert done.returncode != 0
    assert "TitanPhase/titan/brain not ready" in done.stderr


class _Pages(http.server.BaseHTTPRequestHandler):
    answers = (200, b'{"status": "ok"}')

    def do_GET(self) -> None:
        self.send_response(self.answers[0])
        self.end_headers()
        self.wfile.write(self.answers[1])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("code", "body", "exit_code", "says"),
    [(200, b'{"status": "ok"}', 0, "ok"), (503, b"the watches are not running", 1, "the watches are not running")],
)
def test_helm_test_says_what_is_wrong(plane: ControlPlane, code: int, body: bytes, exit_code: int, says: str) -> None:
    hooks = [
        item
        for item in objects(rendered(plane, "titan", (f"image.digest={DIGEST}",)))
        if item["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"
    ]
    (container,) = hooks[0]["spec"]["containers"]
    python, flag, program, url = container["command"]
    assert (python, flag) == ("python3", "-c")
    handler = type("Handler", (_Pages,), {"answers": (code, body)})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = url.replace("titan-operator.titan-system.svc:8080", f"127.0.0.1:{server.server_port}")
        done = subprocess.run([sys.executable, "-c", program, here], capture_output=True, text=True, check=False)
        server.shutdown()
    assert done.returncode == exit_code
    assert says in done.stdout + done.stderr
    silent = subprocess.run([sys.executable, "-c", program, here], capture_output=True, text=True, check=False)
    assert silent.returncode == 1
    assert "does not answer" in silent.stderr
