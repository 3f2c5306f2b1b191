"""Under-stores, built as the configuration says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

from alluxio_s3.interfaces import IBucketContainer, IIdentified, IMultipartUploads, IUnderFileSystem
from alluxio_s3.namespace.mounts import Namespace
from alluxio_s3.settings import SettingsError, load
from alluxio_s3.storage import Mount, Unavailable
from alluxio_s3.stores import build_mount, build_mounts, build_root, plugin_of, stage
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.memory import MemoryUnderFileSystem
from alluxio_s3.ufs.rate_limited import RateLimitedUnderFileSystem
from alluxio_s3.ufs.read_only import ReadOnlyUnderFileSystem
from alluxio_s3.ufs.undeleting import UndeletingUnderFileSystem

REACTOR = MemoryReactorClock()
THREADS = Threads(REACTOR, 1, "stores")

# Remembers with which options it was built.
SPY = """
from zope.interface import implementer
from alluxio_s3.interfaces import IPluginFactory
from alluxio_s3.ufs.memory import MemoryUnderFileSystem

@implementer(IPluginFactory)
class Factory:
    def build(self, options, reactor, threads):
        made = MemoryUnderFileSystem(reactor, buckets=options["buckets"] == "true")
        made.options = dict(options)
        return made
"""


@pytest.fixture(params=["spy"])
def plugin(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The scheme of a plugin that is there for this test."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "spying.py").write_text(SPY)
    info = tmp_path / "spying-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: spying\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[alluxio_s3.ufs]\n{request.param} = spying:Factory\n")
    yield request.param
    sys.modules.pop("spying", None)


def loaded(*overrides: str, **properties: str):
    given = [*overrides, *(f"{name.replace('__', '.')}={value}" for name, value in properties.items())]
    return load(None, given, {}, "/nowhere")


def root(*overrides: str):
    return build_root(loaded(*overrides), REACTOR, THREADS)


@pytest.mark.parametrize(
    ("uri", "name"),
    [("/srv/data", "local"), ("file:///srv", "local"), ("FILE:///srv", "local"), ("s3://b/p", "s3"), ("s3a://b", "s3"),
     ("hdfs://n:9000/", "hdfs"),     ("fsspec+sftp://h/x", "fsspec"), ("FsSpec+GS://b", "fsspec"), ("memory://", "memory")],
)  # fmt: skip
def test_which_plugin(uri, name):
    """A URI's scheme says which plugin its store is of; a path is a local directory."""
    assert plugin_of(uri) == name


def test_nothing_to_serve():
    """Without a root and without mounts there is nothing to serve, and the message names both; with mounts a root is not needed."""
    with pytest.raises(SettingsError, match=r"alluxio\.dora\.client\.ufs\.root .* alluxio\.worker\.s3\.mount\.table"):
        root()
    assert root("alluxio.worker.s3.mount.table=/nowhere/mounts.json") is None


def test_the_root_has_options(plugin):
    """Those of the root go to its store, by either of two names, the first of which wins; the daemon's own are the daemon's."""
    ufs = root(
        f"alluxio.dora.client.ufs.root={plugin}://x",
        "alluxio.dora.client.ufs.root.option.user=alice",
        "alluxio.master.mount.table.root.option.user=bob",
        "alluxio.master.mount.table.root.option.password=secret",
        "alluxio.dora.client.ufs.root.option.readonly=true",
        f"alluxio.worker.s3.plugin.{plugin}.timeout=5",
    )
    assert isinstance(ufs, ReadOnlyUnderFileSystem)
    assert ufs.ufs.options == {"uri": f"{plugin}://x", "buckets": "true", "user": "alice", "password": "secret", "timeout": "5"}
    assert IBucketContainer(ufs, None) is not None


def test_a_root_without_buckets(plugin, monkeypatch):
    """A store whose top-level directories cannot be buckets is no root."""
    monkeypatch.setattr(MemoryUnderFileSystem, "__conform__", lambda *_: None)
    monkeypatch.setattr("alluxio_s3.stores.IBucketContainer", lambda *_: None)
    with pytest.raises(SettingsError, match=f"a store of {plugin}:// cannot be mounted at '/'"):
        root(f"alluxio.dora.client.ufs.root={plugin}://x")


def test_the_order_of_what_is_asked_for(plugin):
    """Next to the store is the rate limit, before it what keeps deletes away, and before that what keeps writes away."""
    options = {"readonly": "true", "rate.limit": "1", "deletetype": "ALLUXIO_ONLY", "own": "x"}
    ufs = build_mount(Mount("/m", f"{plugin}://x", options), loaded(), REACTOR, THREADS)
    kinds = []
    while not isinstance(ufs, MemoryUnderFileSystem):
        kinds.append(type(ufs))
        ufs = ufs.ufs
    assert kinds == [ReadOnlyUnderFileSystem, UndeletingUnderFileSystem, RateLimitedUnderFileSystem]
    assert ufs.options == {"uri": f"{plugin}://x", "buckets": "false", "own": "x"}


def test_deletes_stay_away_from_all(plugin):
    """The property deletetype is the default of each mount, and of the root."""
    everything = loaded("alluxio.proxy.s3.deletetype=ALLUXIO_ONLY", f"alluxio.dora.client.ufs.root={plugin}://x")
    assert isinstance(build_root(everything, REACTOR, THREADS), UndeletingUnderFileSystem)
    assert isinstance(build_mount(Mount("/m", f"{plugin}://x"), everything, REACTOR, THREADS), UndeletingUnderFileSystem)
    other = Mount("/m", f"{plugin}://x", {"deletetype": "ALLUXIO_AND_UFS"})
    assert isinstance(build_mount(other, everything, REACTOR, THREADS), MemoryUnderFileSystem)


GLOBAL = (
    "alluxio.underfs.s3.endpoint=http://localhost:1",
    "alluxio.underfs.s3.region=r",
    "alluxio.underfs.s3.disable.dns.buckets=true",
    "s3a.accessKeyId=id",
    "s3a.secretKey=key",
)


@pytest.fixture
def built(monkeypatch):
    """What plugins would be built with, instead of being built."""
    seen = {}

    def build(_group, name, _interface, options, *_):
        seen[name] = dict(options)
        return MemoryUnderFileSystem(Clock(), buckets=False)

    monkeypatch.setattr("alluxio_s3.stores.build_plugin", build)
    return seen


def test_the_defaults_of_s3(built):
    """Alluxio's properties for S3 are every S3 mount's, and no other store's; a mount that brings a key has no other of theirs."""
    everything = loaded(*GLOBAL)
    common = dict(one.split("=") for one in GLOBAL)
    build_mount(Mount("/m", "s3a://b"), everything, REACTOR, THREADS)
    assert built["s3"] == common | {"uri": "s3a://b", "buckets": "false"}
    build_mount(Mount("/m", "s3://b", {"s3a.accessKeyId": "other", "alluxio.underfs.s3.region": "s"}), everything, REACTOR, THREADS)
    expected = common | {"uri": "s3://b", "buckets": "false", "s3a.accessKeyId": "other", "alluxio.underfs.s3.region": "s"}
    del expected["s3a.secretKey"]
    assert built["s3"] == expected
    build_mount(Mount("/m", "hdfs://n/"), everything, REACTOR, THREADS)
    assert not built["hdfs"].keys() & common.keys()
    build_mount(Mount("/m", "s3://b"), loaded(), REACTOR, THREADS)
    assert built["s3"] == {"uri": "s3://b", "buckets": "false"}


def test_a_local_mount(built):
    """A directory is served as the daemon is configured, unless the mount says otherwise; it cannot say that it is another, or the root."""
    options = {"durability": "data", "root": "/etc", "buckets": "true"}
    build_mount(Mount("/m", "file:///srv", options), loaded("alluxio.worker.s3.durability=rename"), REACTOR, THREADS)
    assert built["local"] == {"root": "/srv", "buckets": "false", "folders": "true", "xattrs": "true", "durability": "data"}


def test_what_cannot_be_a_mount_table(tmp_path):
    """A table that is damaged stops the start, as a wrong property does; so does a place that this version cannot keep mounts in."""
    namespace = Namespace(None, "alluxio")
    (tmp_path / "mounts.json").write_text("{")
    for place in (tmp_path / "mounts.json", "etcd", "zk://somewhere"):
        with pytest.raises(SettingsError, match=r"mounts\.json|mount\.table"):
            build_mounts(loaded(f"alluxio.worker.s3.mount.table={place}"), namespace, REACTOR, THREADS)
    assert build_mounts(loaded(), namespace, REACTOR, THREADS) is None


def test_where_uploads_wait(tmp_path):
    """A store finds its uploads when it is mounted again, under whatever URI and name; another store never does."""
    settings = loaded(f"alluxio.worker.s3.staging.dir={tmp_path}").settings

    def place(uri, identity):
        class Identified(MemoryUnderFileSystem):
            @property
            def identity(self):
                return identity

        staged = stage(settings, REACTOR, THREADS, uri, Identified(Clock()))
        assert IMultipartUploads.providedBy(staged)
        assert IUnderFileSystem.providedBy(staged.staging)
        return IIdentified(staged.staging).identity

    assert place("sftp://h/a", "sftp:h:a") == place("sftp://h/a/", "sftp:h:a")
    places = {place(uri, identity) for uri, identity in (("", "x"), ("sftp://h/a", "sftp:h:a"), ("sftp://h/a", "sftp:elsewhere:a"))}
    assert len(places) == 3
    assert all(one.startswith(f"file://{tmp_path}/") for one in places)
    assert all(one.stat().st_mode & 0o777 == 0o700 for one in tmp_path.iterdir())


def test_uploads_that_have_nowhere_to_wait(tmp_path):
    """A staging directory that cannot be made is the store's being unavailable, and names the property, for the log."""
    (tmp_path / "file").touch()
    settings = loaded(f"alluxio.worker.s3.staging.dir={tmp_path}/file/below").settings
    with pytest.raises(Unavailable, match=r"alluxio\.worker\.s3\.staging\.dir: .*/file/below: Not a directory"):
        stage(settings, REACTOR, THREADS, "sftp://h/a", MemoryUnderFileSystem(Clock()))
