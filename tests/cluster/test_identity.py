"""The id of a worker."""

from __future__ import annotations

import threading

import pytest

from alluxio_s3.cluster.identity import check_identity, identity_in, new_boot


def test_it_stays(tmp_path):
    """The first start makes it, in a directory that need not be there, and every other finds it; a start can be told from another."""
    path = tmp_path / "state" / "worker_identity"
    made = identity_in(path)
    assert identity_in(path) == made == path.read_text().strip()
    path.write_text("mine-1\n")
    assert identity_in(path) == "mine-1"
    assert [one.name for one in path.parent.iterdir()] == ["worker_identity"]
    assert new_boot() != new_boot()


def test_made_by_many(tmp_path):
    """Processes that start at once are the same worker."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(identity_in(tmp_path / "id"))) for _ in range(16)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(set(found)) == 1
    assert len(found) == 16


@pytest.mark.parametrize("text", ["", "a b", "a/b", "-a", "ü", "x" * 129, "a\nb"])
def test_what_is_none(tmp_path, text):
    """What is no id is an error that names the file, and is left there."""
    path = tmp_path / "id"
    path.write_text(text)
    with pytest.raises(ValueError, match=str(path)):
        identity_in(path)
    assert path.read_text() == text
    with pytest.raises(ValueError, match="id"):
        check_identity(text)


def test_where_it_cannot_be(tmp_path):
    """A place that cannot be written is an error that names it."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "id", tmp_path):
        with pytest.raises(ValueError, match=str(path)):
            identity_in(path)
