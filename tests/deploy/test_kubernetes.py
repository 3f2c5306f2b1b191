"""The manifests in deploy/kubernetes: as Kubernetes' own schemas want them, and as the daemon and each other need them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from alluxio_s3.auth.access_keys import parse_access_keys
from alluxio_s3.settings.properties import Settings, properties_of
from tests.running import ROOT

DIRECTORY = ROOT / "deploy" / "kubernetes"
FILES = sorted(path for path in DIRECTORY.glob("*.yaml") if path.name != "kustomization.yaml")


def documents(*names: str) -> list[dict[str, Any]]:
    """The resources of those files, or of all."""
    paths = [DIRECTORY / name for name in names] if names else FILES
    return [one for path in paths for one in yaml.safe_load_all(path.read_text())]


def resource(kind: str, name: str) -> dict[str, Any]:
    (found,) = (one for one in documents() if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def pod_of(kind: str, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = resource(kind, name)["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("version", ["1.34", "1.37"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_they_are_what_the_schemas_want(path: Path, version: str) -> None:
    """No field is missing, misspelled, or of another type, for an old and a new Kubernetes."""
    for one in documents(path.name):
        kubernetes_validate.validate(one, version, strict=True)


def test_the_list_of_resources_is_whole() -> None:
    """What is applied together is every file but the example of a client."""
    listed = yaml.safe_load((DIRECTORY / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(path.name for path in FILES if path.name != "triton.yaml")


def site_properties() -> dict[str, str]:
    text = resource("ConfigMap", "alluxio-s3")["data"]["alluxio-site.properties"]
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_the_workers_are_told_what_they_understand() -> None:
    """Every property is one that the daemon knows and acts on."""
    known = {one.name: one for one in properties_of(Settings).values()}
    told = site_properties()
    told |= dict([pod_of("DaemonSet", "alluxio-s3")["containers"][0]["args"][-1].split("=")])
    assert told.keys() <= known.keys()
    assert [name for name in told if not known[name].acted_on] == []


def test_the_probes_and_ports_are_the_daemons() -> None:
    """What Kubernetes asks, and where clients and peers come in, is where the daemon listens."""
    told = site_properties()
    (worker,) = pod_of("DaemonSet", "alluxio-s3")["containers"]
    ports = {one["name"]: str(one["containerPort"]) for one in worker["ports"]}
    assert ports == {
        "s3": told["alluxio.worker.rest.port"],
        "admin": told["alluxio.worker.s3.admin.port"],
        "peers": told["alluxio.worker.s3.peer.port"],
    }
    assert worker["livenessProbe"]["httpGet"] == worker["startupProbe"]["httpGet"] == {"path": "/live", "port": "admin"}
    assert worker["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "admin"}
    assert resource("Service", "alluxio-s3")["spec"]["ports"] == [{"name": "s3", "port": 29998, "targetPort": "s3"}]
    assert f"--model-repository=s3://http://alluxio-s3:{ports['s3']}/models" in pod_of("Deployment", "triton")["containers"][0]["args"]


def test_a_worker_has_time_to_stop() -> None:
    """It is not killed while it gives notice and lets requests end, and its notice is longer than Kubernetes needs to see it."""
    pod = pod_of("DaemonSet", "alluxio-s3")
    notice = int(site_properties()["alluxio.worker.s3.drain.notice"].removesuffix("sec"))
    probe = pod["containers"][0]["readinessProbe"]
    assert notice > probe["periodSeconds"] * probe["failureThreshold"]
    assert pod["terminationGracePeriodSeconds"] > notice + Settings().drain_ms / 1000 + 5


def test_secrets_and_volumes_are_there() -> None:
    """Each file that the properties name is in a volume that is mounted, and the keys are in the form of the daemon's."""
    told, secret = site_properties(), resource("Secret", "alluxio-s3")["stringData"]
    (worker,) = pod_of("DaemonSet", "alluxio-s3")["containers"]
    mounted = {one["mountPath"] for one in worker["volumeMounts"]}
    paths = [Path(value) for value in told.values() if value.startswith("/")]
    assert all(mounted & {str(path), *map(str, path.parents)} for path in paths)
    assert {path.name for path in paths if str(path.parent) == "/etc/alluxio-secret"} == secret.keys()
    assert parse_access_keys(secret["keys"])
