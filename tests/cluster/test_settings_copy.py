"""Properties that etcd has for all workers."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import reactor

from alluxio_s3.cluster.etcd import Etcd
from alluxio_s3.cluster.settings_copy import SettingsCopy
from alluxio_s3.cluster.watched import WatchedPrefix
from alluxio_s3.clustering import SETTINGS_COPY, build_settings_copy
from alluxio_s3.settings import SettingsError, load
from tests.cluster.waiting import until

REGION, LIMIT = "alluxio.worker.s3.region", "alluxio.proxy.s3.header.metadata.max.size"


class Copied:
    """A copy at ``path``, which takes what a daemon of ``config`` would start with, and the regions that were read."""

    def __init__(self, node, prefix, config, path):
        self.path, self.regions = path, []
        self.etcd = Etcd([node.endpoint], reactor)
        self._config = config
        self.service = SettingsCopy(WatchedPrefix(self.etcd, prefix + "settings/", reactor), path, self._check, self._reload)

    def _check(self, candidate):
        try:
            load(str(self._config), [f"{SETTINGS_COPY}={candidate}"], {}, "/")
        except SettingsError as problem:
            raise ValueError(str(problem)) from None

    async def _reload(self):
        self.regions.append(load(str(self._config), [], {}, "/").settings.region)


@pytest.fixture
def config(tmp_path):
    """A properties file that names a copy."""
    path = tmp_path / "alluxio-site.properties"
    path.write_text(f"{LIMIT}=3KB\n{SETTINGS_COPY}={tmp_path / 'state' / 'copy'}\n")
    return path


@pytest_twisted.ensureDeferred
async def test_they_are_followed(shared_node, prefix, config, tmp_path):
    """What is put into etcd is read by the daemon at once and at its next start; its own file wins; what was taken away counts no more."""
    path = tmp_path / "state" / "copy"
    copied = Copied(shared_node, prefix, config, path)
    copied.service.startService()
    await copied.etcd.put(f"{prefix}settings/{REGION}", "é=\\ # x".encode())
    await until(lambda: copied.regions == ["é=\\ # x"])
    assert path.stat().st_mode & 0o777 == 0o600
    await copied.etcd.put(f"{prefix}settings/{LIMIT}", b"5KB")
    await until(lambda: len(copied.regions) == 2)
    settings = load(str(config), [], {}, "/").settings
    assert (settings.region, settings.metadata_max_bytes) == ("é=\\ # x", 3 << 10)
    await copied.etcd.delete(f"{prefix}settings/{REGION}")
    await until(lambda: copied.regions[-1] == "us-east-1")
    await copied.service.stopService()
    assert [one.name for one in path.parent.iterdir()] == ["copy"]


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_is_not_taken(shared_node, prefix, config, tmp_path):
    """A value with which the daemon would not start stays out, till it is mended; what was deleted while nobody looked is gone."""
    path = tmp_path / "state" / "copy"
    path.parent.mkdir()
    path.write_text(f"{REGION}=before\n")
    copied = Copied(shared_node, prefix, config, path)
    await copied.etcd.put(f"{prefix}settings/alluxio.worker.rest.port", b"no port")
    copied.service.startService()
    await until(lambda: copied.service._watched.revision)
    assert path.read_text() == f"{REGION}=before\n"
    await copied.etcd.delete(f"{prefix}settings/alluxio.worker.rest.port")
    await until(lambda: copied.regions == ["us-east-1"])
    assert path.read_text() == ""
    await copied.service.stopService()


@pytest_twisted.ensureDeferred
async def test_etcd_that_has_lost_them(own_node, config, tmp_path):
    """When etcd comes back without its data the copy stays as it was."""
    path = tmp_path / "state" / "copy"
    copied = Copied(own_node, "/c/", config, path)
    copied.service.startService()
    for _ in range(3):
        await copied.etcd.put(f"/c/settings/{REGION}", b"here")
    await until(lambda: copied.regions)
    own_node.kill()
    own_node.wipe()
    own_node.start()
    await until(lambda: copied.service._watched.lost)
    assert load(str(config), [], {}, "/").settings.region == "here"
    await copied.service.stopService()


def test_where_etcd_is_not(tmp_path):
    """A place for the copy needs an etcd; without a place there is no copy."""
    assert build_settings_copy(load(None, [], {}, "/nowhere").settings, reactor, None, None) is None
    with pytest.raises(SettingsError, match=r"alluxio\.etcd\.endpoints"):
        build_settings_copy(load(None, [f"{SETTINGS_COPY}={tmp_path / 'c'}"], {}, "/nowhere").settings, reactor, None, None)
