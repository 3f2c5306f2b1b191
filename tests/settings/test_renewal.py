"""What of a configuration that was read again can be taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from alluxio_s3.settings import Loaded, Settings, load
from alluxio_s3.settings.properties import properties_of
from alluxio_s3.settings.renewal import renewed, same, without


def read(tmp_path: Path, *lines: str) -> Loaded:
    path = tmp_path / "alluxio-site.properties"
    path.write_text("\n".join(lines))
    return load(str(path), (), {}, str(tmp_path))


def test_what_can_change_does(tmp_path: Path) -> None:
    """A property that is marked so takes its new value, another keeps its old one and is named, a secret option by its plugin only."""
    old = read(tmp_path, "alluxio.worker.rest.port=1", "alluxio.worker.s3.log.level=warn", "alluxio.worker.s3.plugin.x.key=canary1")
    new = read(tmp_path, "alluxio.worker.rest.port=2", "alluxio.worker.s3.log.level=error", "alluxio.worker.s3.plugin.x.key=canary2")
    effective, waiting = renewed(old, new)
    assert (effective.settings.rest_port, effective.settings.log_level) == (1, "error")
    assert waiting == ("alluxio.worker.rest.port", "alluxio.worker.s3.plugin.x")
    assert effective.plugin_options == old.plugin_options
    assert renewed(effective, new) == (effective, waiting)


def test_options_of_an_authenticator_change(tmp_path: Path) -> None:
    """Options of the plugin that tells who users are can change, and go."""
    kind = "alluxio.worker.s3.authentication.type=mine"
    old, new = read(tmp_path, kind, "alluxio.worker.s3.plugin.mine.a=1"), read(tmp_path, kind, "alluxio.worker.s3.plugin.mine.a=2")
    effective, waiting = renewed(old, new)
    assert waiting == ()
    assert effective.plugin_options == {"mine": {"a": "2"}}
    assert not same("admission", old, effective)
    effective, waiting = renewed(old, read(tmp_path, kind))
    assert (effective.plugin_options, waiting) == ({}, ())


def test_a_part_can_be_left_as_it_was(tmp_path: Path) -> None:
    """Of a part that was refused every property stays, and no other."""
    old = read(tmp_path)
    new = read(tmp_path, "alluxio.worker.s3.log.level=error", "alluxio.worker.s3.drain.timeout=1sec")
    assert not same("log level", old, new)
    assert same("admission", old, new)
    kept = without("log level", old, new)
    assert (kept.settings.log_level, kept.settings.drain_ms) == ("info", 1000)


@pytest.mark.parametrize("name", sorted({one.reload for one in properties_of(Settings).values()} - {""}))
def test_every_mark_is_of_a_part(name: str) -> None:
    """What a property names as taking its changes is a part that exists."""
    text = "".join((Path(__file__).parents[2] / "alluxio_s3" / one).read_text() for one in ("reloading.py", "gateway.py"))
    assert f'name: str = "{name}"' in text or f'PlainPart("{name}"' in text
