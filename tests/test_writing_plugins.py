"""docs/writing-plugins.md does what it says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.pages import PIP, files_on, properties_in
from tests.running import ROOT, Daemon, DaemonFailed
from tests.wire import Wire

FILES = files_on(ROOT / "docs" / "writing-plugins.md")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's authenticator is installed."""
    project, directory = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("site")
    for name in ("proxied_users.py", "pyproject.toml"):
        (project / name).write_text(FILES[name])
    subprocess.run([sys.executable, *PIP, "--target", directory, "."], cwd=project, check=True)
    return directory


@pytest.fixture
def properties(site: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """A configuration with the page's authenticator, where processes that are started find it."""
    monkeypatch.setenv("PYTHONPATH", str(site))
    return {
        "alluxio.worker.s3.api.enabled": "true",
        "alluxio.worker.s3.bind.host": "127.0.0.1",
        "alluxio.worker.rest.port": "0",
        "alluxio.dora.client.ufs.root": "memory:///",
        **properties_in(FILES["alluxio-site.properties"]),
    }


def test_the_proxy_says_who_it_is(tmp_path: Path, properties: Mapping[str, str]) -> None:
    """The user is whom the proxy names; credentials of the client's own do not count, nor does a second name."""
    with Daemon(tmp_path) as daemon:
        wire = Wire(daemon.start(properties), user="mallory")
        assert wire("PUT", "b", headers={"X-Forwarded-User": "alice"}).status == 200
        assert wire("GET", headers={"X-Forwarded-User": "alice"}).texts("Owner/ID") == ["alice"]
        for headers in ({}, {"X-Forwarded-User": ""}, {"X-Forwarded-User": "alice, mallory"}):
            answer = wire("GET", "b", headers=headers)
            assert (answer.status, answer.code) == (403, "AccessDenied")
        assert daemon.trouble == []


def test_only_the_proxy_is_believed(tmp_path: Path, properties: Mapping[str, str]) -> None:
    """From any other address the header says nothing."""
    with Daemon(tmp_path) as daemon:
        wire = Wire(daemon.start({**properties, "alluxio.worker.s3.plugin.proxy.address": "192.0.2.1"}))
        assert wire("GET", headers={"X-Forwarded-User": "alice"}).status == 403


def test_a_missing_option(tmp_path: Path, properties: Mapping[str, str]) -> None:
    """The operator reads what is to be set."""
    daemon = Daemon(tmp_path)
    with pytest.raises(DaemonFailed):
        daemon.start({name: value for name, value in properties.items() if "plugin" not in name})
    assert daemon.log.strip() == (
        "alluxio-s3: alluxio_s3.authenticators plugin 'proxy' of alluxio-s3-proxied-users 1.0:"
        " set alluxio.worker.s3.plugin.proxy.address to the address that the proxy connects from"
    )


def test_the_contract_of_tag_stores(tmp_path: Path) -> None:
    """The test module on the page runs the suite on a tag store."""
    (tmp_path / "my_tags.py").write_text("from alluxio_s3.tags.carried import CarriedTagStore as MyTagStore\n")
    (tmp_path / "test_my_tags.py").write_text(FILES["test_my_tags.py"])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_tags.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert "passed" in run.stdout
