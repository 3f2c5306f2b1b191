"""docs/writing-a-ufs.md does what it says: its own text is built, installed, held to the contract, and served."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.pages import PIP, commands_on, files_on, properties_in
from tests.running import ROOT, Daemon, DaemonFailed
from tests.wire import Wire

PAGE = ROOT / "docs" / "writing-a-ufs.md"
FILES, COMMANDS = files_on(PAGE), commands_on(PAGE)
MESSAGES = [line for line in PAGE.read_text().splitlines() if line.startswith("alluxio-s3: ")]

ENDPOINT, DIRECTORY = "http://127.0.0.1:29998", "/srv/s3"
NAMED = "alluxio-s3: alluxio_s3.ufs plugin 'sqlite' of alluxio-s3-sqlite 1.0"


def properties(directory: Path) -> dict[str, str]:
    """The page's configuration, below ``directory`` and on any port that is free."""
    text = FILES["alluxio-site.properties"].replace(DIRECTORY, str(directory))
    return {**properties_in(text), "alluxio.worker.rest.port": "0"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that the page has its reader make."""
    directory = tmp_path_factory.mktemp("alluxio-s3-sqlite")
    for name, text in FILES.items():
        (directory / name).write_text(text)
    return directory


@pytest.fixture(scope="module")
def site(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the distribution is installed: a directory of its own instead of the environment that these tests run in."""
    directory = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, *PIP, "--target", directory, "."], cwd=project, check=True)
    return directory


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started find the distribution."""
    monkeypatch.setenv("PYTHONPATH", str(site))


@pytest.fixture
def daemon(installed: None, tmp_path: Path) -> Iterator[tuple[Daemon, str]]:
    """The daemon on the page's configuration, and its endpoint."""
    with Daemon(tmp_path / "daemon") as daemon:
        yield daemon, daemon.start(properties(tmp_path))
        assert daemon.trouble == []


def test_everything_is_on_the_page() -> None:
    """The page has the files and commands that the other tests use, and no more than sixty lines of store."""
    assert list(FILES) == ["sqlite_ufs.py", "pyproject.toml", "test_sqlite_ufs.py", "alluxio-site.properties", "session.py"]
    said = [command for command, _ in COMMANDS]
    for command in ("pip install .", "pytest -q", "twistd -n alluxio-s3 --config alluxio-site.properties", "python session.py"):
        assert command in said
    for name, most in (("sqlite_ufs.py", 60), ("test_sqlite_ufs.py", 5)):
        assert len([line for line in FILES[name].splitlines() if line.strip()]) <= most


def test_the_contract_holds(project: Path, installed: None) -> None:
    """The test module on the page runs the suite on the plugin that was installed, and every test that applies passes."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "test_sqlite_ufs.py"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert re.search(r"\b5\d passed", run.stdout)
    reasons = set(re.findall(r"SKIPPED .*: (.*)", run.stdout))
    assert reasons == {
        "it is asked for bytes when they are read",
        "it takes no multipart uploads",
        "it keeps no tags",
        "its readers are not files",
        "its writers don't copy",
    }


def test_the_contract_holds_of_a_mount(project: Path, installed: None, tmp_path: Path) -> None:
    """With ``buckets = False`` the store is one bucket, and keeps the contract as well."""
    text = FILES["test_sqlite_ufs.py"].replace('name = "sqlite"\n', 'name = "sqlite"\n    buckets = False\n')
    (tmp_path / "test_mount.py").write_text(text)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mount.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout


def test_the_first_session(daemon: tuple[Daemon, str], tmp_path: Path) -> None:
    """Every command of the session prints what the page shows."""
    _, endpoint = daemon
    (tmp_path / "session.py").write_text(FILES["session.py"].replace(ENDPOINT, endpoint))
    session = [one for one in COMMANDS if re.match(r"curl|echo|python ", one[0])]
    assert len(session) == 8
    for command, printed in session:
        line = command.replace(ENDPOINT, endpoint).replace("python ", f"{sys.executable} ")
        run = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert run.stdout == printed, f"{command}: {run.stderr}"


def test_nothing_is_lost(daemon: tuple[Daemon, str], tmp_path: Path) -> None:
    """What was answered is there after the daemon was killed, uploads in progress and their parts included."""
    first, endpoint = daemon
    wire = Wire(endpoint)
    assert wire("PUT", "b").status == 200
    assert wire("PUT", "b", "a", headers={"Content-Type": "text/plain", "x-amz-meta-x": "é"}, body=b"old" * 100_000).status == 200
    assert wire("PUT", "b", "a/b", body=b"below").status == 200
    upload = wire("POST", "b", "parts", {"uploads": ""}).xml.findtext("UploadId") or ""
    part = wire("PUT", "b", "parts", {"partNumber": "1", "uploadId": upload}, body=b"x" * (5 << 20))
    first.kill()

    wire = Wire(first.start(properties(tmp_path)))
    answer = wire("GET", "b", "a")
    assert (answer.body, answer.headers["content-type"], answer.headers["x-amz-meta-x"].encode("latin-1")) == (
        b"old" * 100_000,
        "text/plain",
        "é".encode(),
    )
    second = wire("PUT", "b", "parts", {"partNumber": "2", "uploadId": upload}, body=b"y")
    listed = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{one.headers['etag']}</ETag></Part>" for number, one in enumerate((part, second), 1)
    )
    document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    refused = wire("POST", "b", "parts", {"uploadId": upload}, {"If-Match": '"other"'}, document)
    assert refused.code in ("NoSuchKey", "PreconditionFailed")
    done = wire("POST", "b", "parts", {"uploadId": upload}, {"If-None-Match": "*"}, document)
    assert done.xml.findtext("ETag", "").endswith('-2"')
    again = wire("POST", "b", "parts", {"uploadId": upload}, {"If-None-Match": "*"}, document)
    assert again.xml.findtext("ETag") == done.xml.findtext("ETag")
    assert wire("GET", "b", "parts").body == b"x" * (5 << 20) + b"y"
    assert wire("GET", "b", query={"list-type": "2"}).texts("Contents/Key") == ["a", "a/b", "parts"]
    for key in ("a", "a/b", "parts"):
        assert wire("DELETE", "b", key).status == 204
    assert wire("DELETE", "b").status == 204


def offer(directory: Path, source: str, name: str = "alluxio-s3-sqlite", version: str = "1.0") -> Path:
    """A directory with the page's distribution as pip would leave it, but of other source."""
    directory.mkdir()
    (directory / "sqlite_ufs.py").write_text(source)
    info = directory / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("[alluxio_s3.ufs]\nsqlite = sqlite_ufs:SqliteFactory\n")
    return directory


def last_words(directory: Path, settings: Mapping[str, str]) -> str:
    """What a daemon says that must not start."""
    daemon = Daemon(directory / "refused")
    with pytest.raises(DaemonFailed):
        daemon.start(settings)
    return daemon.log.strip()


SOURCE = FILES["sqlite_ufs.py"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (SOURCE.replace("import sqlite3", "import sqlite4"), f"{NAMED} cannot be imported: "),
        (SOURCE.replace("def build(", "def make("), "alluxio-s3: sqlite_ufs.SqliteFactory of alluxio-s3-sqlite 1.0 "),
        (SOURCE.replace("def remove(", "def delete("), f"{NAMED}: The object "),
    ],
    ids=["import error", "no factory", "missing method"],
)
def test_a_broken_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str) -> None:
    """A plugin that cannot work stops the start with the line that the page shows: which distribution, and what is wrong with it."""
    monkeypatch.setenv("PYTHONPATH", str(offer(tmp_path / "site", source)))
    [shown] = [line for line in MESSAGES if line.startswith(message)]
    # Where the object is in memory is all that may differ.
    assert re.sub(r"0x[0-9a-f]+", "0x…", last_words(tmp_path, properties(tmp_path))) == shown


def test_two_of_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two distributions that offer one name are both named."""
    directories = [offer(tmp_path / "site", SOURCE), offer(tmp_path / "other", SOURCE, "another-sqlite", "2.0")]
    monkeypatch.setenv("PYTHONPATH", ":".join(map(str, directories)))
    assert last_words(tmp_path, properties(tmp_path)) in MESSAGES


def test_none_of_a_name(tmp_path: Path) -> None:
    """A scheme that nobody offers is answered with those there are."""
    assert last_words(tmp_path, properties(tmp_path)) in MESSAGES


def test_an_option_that_is_wrong(installed: None, tmp_path: Path) -> None:
    """What the factory says of an option is what the operator reads."""
    assert last_words(tmp_path, {**properties(tmp_path), "alluxio.worker.s3.plugin.sqlite.timeout": "soon"}) in MESSAGES


def test_one_daemon_for_a_file(daemon: tuple[Daemon, str], tmp_path: Path) -> None:
    """A second daemon on the same file does not start, and the first goes on."""
    _, endpoint = daemon
    said = last_words(tmp_path / "second", {**properties(tmp_path), "alluxio.worker.s3.plugin.sqlite.timeout": "0"})
    assert said.replace(str(tmp_path), DIRECTORY) in MESSAGES
    assert Wire(endpoint)("PUT", "b").status == 200


def test_a_direct_implementation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a factory returns is checked against the interface itself: an under-store without ``open`` is refused."""
    broken = (
        "from zope.interface import implementer\n"
        "from alluxio_s3.interfaces import IPluginFactory, IUnderFileSystem\n"
        "from alluxio_s3.ufs.memory import MemoryUnderFileSystem\n"
        "@implementer(IUnderFileSystem)\n"
        "class Half:\n"
        "    status = MemoryUnderFileSystem.status\n"
        "    list = MemoryUnderFileSystem.list\n"
        "@implementer(IPluginFactory)\n"
        "class SqliteFactory:\n"
        "    def build(self, options, reactor, threads):\n"
        "        return Half()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(offer(tmp_path / "site", broken)))
    said = last_words(tmp_path, properties(tmp_path))
    assert said.startswith("alluxio-s3: sqlite_ufs.Half of alluxio-s3-sqlite 1.0 is not a good IUnderFileSystem: ")
    assert "open" in said
    assert "\n" not in said
