from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from alluxio_s3.settings import Loaded, Settings, SettingsError, load
from alluxio_s3.settings.definition import Property
from alluxio_s3.settings.foreign import FOREIGN
from alluxio_s3.settings.properties import SECTIONS, properties_of

ETC = Path(__file__).parents[2] / "etc" / "alluxio-site.properties"
EVERY = properties_of(Settings)


def load_text(tmp_path: Path, text: str, *overrides: str) -> Loaded:
    path = tmp_path / "alluxio-site.properties"
    path.write_text(text)
    return load(str(path), overrides, {"HOME": "/home/me"}, "/work")


def test_nothing_is_all_defaults(tmp_path: Path) -> None:
    """An empty file, like no file, leaves every property at its default."""
    assert load_text(tmp_path, "").settings == Settings()
    assert Settings().rest_port == 29998
    assert Settings().keep_alive is False
    assert Settings().metadata_max_bytes == 2048


@pytest.mark.parametrize("one", EVERY.values(), ids=lambda one: one.name)
def test_every_property_can_be_set(one: Property, tmp_path: Path) -> None:
    """Each property takes its own default back from a file, by every spelling, without a word."""
    for spelling in one.spellings:
        loaded = load_text(tmp_path, f"{spelling}={one.default}\n")
        assert loaded.settings == Settings()
        assert loaded.warnings == ()


def test_no_name_is_used_twice() -> None:
    """No two properties share a spelling, and none is in the list of those that mean nothing."""
    spellings = [spelling for one in EVERY.values() for spelling in one.spellings]
    assert len(spellings) == len(set(spellings))
    assert not set(spellings) & set(FOREIGN)


def test_sections_hold_everything() -> None:
    """Every property is in exactly one documented section."""
    listed = [attribute for section in SECTIONS for attribute in properties_of(section)]
    assert sorted(listed) == sorted(EVERY)
    assert all(section.__doc__ for section in SECTIONS)


def test_a_bad_value_says_where_and_what(tmp_path: Path) -> None:
    """An error names file, line, property, value and what was expected."""
    with pytest.raises(SettingsError) as caught:
        load_text(tmp_path, "\nalluxio.worker.rest.port=http\n")
    assert str(caught.value) == (
        f"{tmp_path}/alluxio-site.properties:2: alluxio.worker.rest.port:"
        " expected a port number from 0 to 65535 (0: any free port), not 'http'"
    )
    assert (caught.value.line, caught.value.name) == (2, "alluxio.worker.rest.port")


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """Neither an error nor the printed settings show a secret."""
    with pytest.raises(SettingsError) as caught:
        load_text(tmp_path, "s3a.secretKey=hush\\u0007\n")
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(load_text(tmp_path, "s3a.secretKey=hush\n").settings)


def test_overrides_win(tmp_path: Path) -> None:
    """-o wins over the file, whichever of the two spellings either uses."""
    text = "alluxio.worker.s3.tagging.restrictions.enabled=true\n"
    loaded = load_text(tmp_path, text, "alluxio.proxy.s3.tagging.restrictions.enabled=false")
    assert loaded.settings.tagging_restrictions is False
    assert loaded.warnings == ()


def test_worker_spelling_wins(tmp_path: Path) -> None:
    """Of both spellings in a file the worker's wins, and the other one is warned of."""
    loaded = load_text(tmp_path, "alluxio.proxy.s3.region=a\nalluxio.worker.s3.region=b\n")
    assert loaded.settings.region == "b"
    assert len(loaded.warnings) == 1
    assert ":1: alluxio.proxy.s3.region has no effect" in loaded.warnings[0]


def test_misspelled_properties_are_warned_of(tmp_path: Path) -> None:
    """An unknown name below the S3 prefixes is a warning with the nearest known one; elsewhere it is only noted."""
    loaded = load_text(tmp_path, "alluxio.worker.s3.redirct.enabled=false\nalluxio.master.hostname=m\n")
    assert len(loaded.warnings) == 1
    assert loaded.warnings[0].endswith("did you mean alluxio.worker.s3.redirect.enabled?")
    assert loaded.notes == ("alluxio.master.hostname: not a property of the S3 API",)


def test_misspelled_overrides_are_refused() -> None:
    """A name on the command line can only be meant for the daemon, so one that it does not know is an error."""
    with pytest.raises(SettingsError, match=r"did you mean alluxio\.worker\.rest\.port\?"):
        load(None, ["alluxio.worker.rest.prot=1"], {}, "/nowhere")


def test_alluxios_other_properties_get_a_reason(tmp_path: Path) -> None:
    """A property of Alluxio's that means nothing here is warned of with what is so instead."""
    loaded = load_text(tmp_path, "alluxio.proxy.s3.writetype=MUST_CACHE\n")
    assert "has no meaning here: writes always go through" in loaded.warnings[0]


def test_what_is_not_acted_upon_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Setting a property of which nothing makes use yet is a warning, not a silent promise."""
    idle = EVERY | {"region": evolve(EVERY["region"], acted_on=False)}
    monkeypatch.setattr("alluxio_s3.settings.loading.properties_of", lambda _: idle)
    assert "not acted upon" in load_text(tmp_path, f"{EVERY['region'].name}=something\n").warnings[0]


def test_repeated_properties_are_warned_of(tmp_path: Path) -> None:
    """The last of two settings of a name counts, as in Java, and the first is warned of."""
    loaded = load_text(tmp_path, "alluxio.worker.s3.region=a\nalluxio.worker.s3.region=b\n")
    assert loaded.settings.region == "b"
    assert "line 1 has no effect" in loaded.warnings[0]


def test_paths_are_absolute(tmp_path: Path) -> None:
    """Paths are seen from the working directory, '~' is the home directory, and URIs stay as they are."""
    for text, expected in {"run/data": "/work/run/data", "~/d": "/home/me/d", "/d": "/d", "s3://b/p": "s3://b/p"}.items():
        assert load_text(tmp_path, f"alluxio.dora.client.ufs.root={text}\n").settings.ufs_root == expected


def test_references_know_defaults_and_spellings(tmp_path: Path) -> None:
    """A reference may name a property that is not set, or that is set by its other spelling."""
    text = "alluxio.proxy.s3.region=r\nalluxio.cluster.name=${alluxio.worker.s3.region}-${alluxio.worker.rest.port}\n"
    assert load_text(tmp_path, text).settings.cluster_name == "r-29998"


def test_parallel_lists_must_be_parallel(tmp_path: Path) -> None:
    """As many sizes as directories of the page store, or an error."""
    with pytest.raises(SettingsError, match="one size for each of the 2 directories"):
        load_text(tmp_path, "alluxio.worker.page.store.dirs=/a,/b\nalluxio.worker.page.store.sizes=2GB\n")


def test_certificate_needs_its_key(tmp_path: Path) -> None:
    """Half of a certificate is an error that names the other half."""
    with pytest.raises(SettingsError, match=r"needs alluxio\.network\.tls\.server\.key"):
        load_text(tmp_path, "alluxio.network.tls.server.cert=/c.pem\n")


def test_plugin_options(tmp_path: Path) -> None:
    """Options of third-party plugins are handed to them, and are not taken for mistakes."""
    loaded = load_text(tmp_path, "alluxio.worker.s3.plugin.Vault.url=https://v/\nalluxio.worker.s3.plugin.vault.a.b=c\n")
    assert loaded.plugin_options == {"vault": {"url": "https://v/", "a.b": "c"}}
    assert loaded.warnings == ()


def test_unreadable_file(tmp_path: Path) -> None:
    """A file that is absurdly large is refused before it is parsed."""
    with pytest.raises(SettingsError, match="larger than"):
        load_text(tmp_path, "#" * (1 << 21))


def test_the_shipped_file() -> None:
    """etc/alluxio-site.properties loads without a warning, serves S3 and keeps connections alive."""
    loaded = load(str(ETC), [], {}, "/")
    assert loaded.warnings == ()
    assert loaded.settings.api_enabled is True
    assert loaded.settings.keep_alive is True


def test_the_shipped_file_mentions_what_it_may_set() -> None:
    """Every commented-out line of the shipped file is a known property at its default, or one that has none."""
    known = {spelling: one for one in EVERY.values() for spelling in one.spellings}
    for line in ETC.read_text().splitlines():
        if line.startswith("#alluxio."):
            name, _, value = line[1:].partition("=")
            one = known[name]
            assert not one.default or one.kind.parse(value) == one.kind.parse(one.default), name
