"""Volumes for claims: a folder of the node each, as k3s' local-path gives them. A process of its own.

A hostPath volume ignores ``fsGroup``, so the folder is writable for all.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

from testcluster.api import Api, ApiError

NAME = "titan.test/folder"
CLASS = f"""\
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: folder
  annotations: {{storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: {NAME}
reclaimPolicy: Delete
volumeBindingMode: Immediate
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: titan.test:provisioner}}
rules:
  - {{apiGroups: [""], resources: [persistentvolumeclaims], verbs: [get, list]}}
  - {{apiGroups: [""], resources: [persistentvolumes], verbs: [get, list, create, delete]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: titan.test:provisioner}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: titan.test:provisioner}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: titan.test:provisioner}}]
"""
USER = "titan.test:provisioner"
_EVERY_S = 0.3


def volume_of(claim: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The PersistentVolume for a claim, bound to nothing else."""
    identity = claim["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"pvc-{identity['uid']}",
            "annotations": {"pv.kubernetes.io/provisioned-by": NAME},
        },
        "spec": {
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "accessModes": claim["spec"]["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": claim["spec"]["storageClassName"],
            "hostPath": {"path": str(folder), "type": "Directory"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": identity["namespace"],
                "name": identity["name"],
                "uid": identity["uid"],
            },
        },
    }


def work(api: Api, root: Path) -> None:
    """Run one pass: make a volume for each waiting claim, and remove each volume whose claim is gone."""
    volumes = {item["metadata"]["name"]: item for item in api.call("GET", "/api/v1/persistentvolumes")["items"]}
    for claim in api.call("GET", "/api/v1/persistentvolumeclaims")["items"]:
        identity, wanted = claim["metadata"], claim["metadata"].get("annotations", {})
        if claim["spec"].get("volumeName") or wanted.get("volume.kubernetes.io/storage-provisioner") != NAME:
            continue
        if f"pvc-{identity['uid']}" in volumes:
            continue
        folder = root / f"{identity['namespace']}_{identity['name']}_{identity['uid']}"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        api.call("POST", "/api/v1/persistentvolumes", volume_of(claim, folder))
        print(f"made {folder.name}", flush=True)
    for name, volume in volumes.items():
        mine = volume["metadata"].get("annotations", {}).get("pv.kubernetes.io/provisioned-by") == NAME
        if mine and volume.get("status", {}).get("phase") == "Released":
            folder = Path(volume["spec"]["hostPath"]["path"])
            api.call("DELETE", f"/api/v1/persistentvolumes/{name}")
            shutil.rmtree(folder)
            print(f"removed {folder.name}", flush=True)


def main() -> None:
    """Look again and again, until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where the volumes are")
    arguments = parser.parse_args()
    api = Api(arguments.kubeconfig)
    while True:
        try:
            work(api, arguments.folder)
        except (OSError, ApiError) as error:
            # The API server restarts, or another write came first: the next pass reads the state.
            print(error, flush=True)
        time.sleep(_EVERY_S)


if __name__ == "__main__":
    main()
