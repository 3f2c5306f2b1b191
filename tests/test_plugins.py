from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer

from alluxio_s3.interfaces import ITagStore
from alluxio_s3.plugins import AUTHENTICATORS, TAG_STORES, UFS, PluginError, build_plugin, check_plugin, load_factory
from alluxio_s3.threads import Threads

THREADS = Threads(MemoryReactorClock(), 1, "test")
Install = Callable[..., None]

GOOD = """
from zope.interface import implementer
from alluxio_s3.interfaces import IPluginFactory, ITagStore

@implementer(ITagStore)
class Store:
    travels = False
    async def get(self, ufs, status): return {}
    async def put(self, ufs, status, tags): pass
    async def close(self): pass

@implementer(IPluginFactory)
class Factory:
    def build(self, options, reactor, threads):
        if "bad" in options:
            raise ValueError("the option 'bad' is not known")
        return Store()

factory = Factory()
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution of one module and one entry point where this process finds it."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def do(
        source: str, *, distribution: str = "outsider", name: str = "outside", attribute: str = "Factory", group: str = TAG_STORES
    ) -> None:
        module = distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}:{attribute}\n")

    yield do
    for module in set(sys.modules) - before:
        if module.startswith("outsider"):
            del sys.modules[module]


@pytest.mark.parametrize("attribute", ["Factory", "factory"])
def test_a_plugin_of_another_distribution(install: Install, attribute: str) -> None:
    """A plugin is found by name in any case, whether its entry point is a factory's class or the factory."""
    install(GOOD, attribute=attribute)
    assert load_factory(TAG_STORES, "OUTSIDE").distribution == "outsider 1.5"
    assert ITagStore.providedBy(build_plugin(TAG_STORES, "OUTSIDE", ITagStore, {}, None, THREADS))


def test_a_missing_plugin(install: Install) -> None:
    """The error for a name that nobody offers lists those that somebody does."""
    install(GOOD)
    with pytest.raises(PluginError, match=r"no alluxio_s3\.tag_stores plugin 'outsid'; installed: .*outside"):
        load_factory(TAG_STORES, "outsid")


def test_two_plugins_of_one_name(install: Install) -> None:
    """A name that two distributions offer is refused, and both are named."""
    install(GOOD)
    install(GOOD, distribution="outsider-two")
    with pytest.raises(PluginError, match=r"offered by outsider 1\.5 and outsider-two 1\.5"):
        load_factory(TAG_STORES, "outside")


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import nothing_of_that_name", r"outsider 1\.5 cannot be imported: ModuleNotFoundError"),
        ("Factory = 7", r"builtins\.int of outsider 1\.5 is not a good IPluginFactory"),
        ("class Factory:\n    def build(self, options): pass", r"outsider\.Factory of outsider 1\.5 is not a good IPluginFactory"),
        (GOOD.replace("def build(self, options, reactor, threads)", "def build(self, options)"), r"IPluginFactory.*build"),
        (
            GOOD.replace("class Factory:", "class Factory:\n    def __init__(self, x): pass").replace("factory = Factory()", ""),
            r"is not a good IPluginFactory: .*required",
        ),
    ],
    ids=["no module", "no factory", "undeclared", "wrong arguments", "wants arguments"],
)
def test_a_bad_factory(install: Install, source: str, complaint: str) -> None:
    """What is wrong with a factory is said with the name of its distribution."""
    install(source, attribute="Factory" if "Factory" in source else "nothing")
    with pytest.raises(PluginError, match=complaint):
        load_factory(TAG_STORES, "outside")


def test_a_bad_plugin(install: Install) -> None:
    """A plugin that lacks something of its interface is refused when it is built, and what it lacks is named."""
    install(GOOD.replace("    async def put(self, ufs, status, tags): pass\n", ""))
    with pytest.raises(PluginError, match=r"outsider\.Store of outsider 1\.5 is not a good ITagStore.*put"):
        build_plugin(TAG_STORES, "outside", ITagStore, {}, None, THREADS)


def test_a_bad_option(install: Install) -> None:
    """What a factory says of its options reaches the operator."""
    install(GOOD)
    with pytest.raises(PluginError, match=r"plugin 'outside' of outsider 1\.5: the option 'bad' is not known"):
        build_plugin(TAG_STORES, "outside", ITagStore, {"bad": "x"}, None, THREADS)


def test_only_the_configured_plugin_is_imported(install: Install) -> None:
    """Looking for one plugin imports no other."""
    install("raise SystemExit", attribute="anything")
    with pytest.raises(PluginError, match="no alluxio_s3"):
        load_factory(TAG_STORES, "another")
    assert "outsider" not in sys.modules


@implementer(ITagStore)
class Incomplete:
    """Says that it is a tag store."""


def test_check_plugin_names_the_distribution() -> None:
    """The check can be used on its own."""
    with pytest.raises(PluginError, match=r"Incomplete of mine 1 is not a good ITagStore"):
        check_plugin(ITagStore, Incomplete(), "mine 1")


@pytest.mark.parametrize(
    ("group", "name"),
    [(UFS, "local"), (UFS, "memory"), (AUTHENTICATORS, "simple"), (TAG_STORES, "object"), (TAG_STORES, "embedded")],
)
def test_our_own_plugins(group: str, name: str) -> None:
    """The daemon's own plugins come through the same door."""
    assert load_factory(group, name).distribution.startswith("alluxio-s3 ")
