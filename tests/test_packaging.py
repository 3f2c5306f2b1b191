"""That what is installed works, in each of the ways in which it can be installed.

The environments have the package alone; its requirements are those of the environment that runs the tests, added by a ``.pth`` file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
FIND = (
    "from twisted.plugin import getPlugins; from twisted.application.service import IServiceMaker;"
    "print([one.module for one in getPlugins(IServiceMaker) if one.tapname == 'alluxio-s3'])"
)


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command that must succeed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git tracks or would track, so that building leaves nothing here and takes nothing stray."""
    copy = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=False
    )
    names = listed.stdout.decode().split("\0") if listed.returncode == 0 else [str(one.relative_to(ROOT)) for one in ROOT.rglob("*")]
    for name in names:
        path = ROOT / name
        if (
            name
            and path.is_file()
            and name.split("/")[0] in {"alluxio_s3", "twisted", "setup.py", "pyproject.toml", "README.md", "LICENSE"}
        ):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes(path.read_bytes())
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    target = tmp_path_factory.mktemp("dist")
    run(*PIP, "wheel", "--no-deps", "--wheel-dir", target, source, cwd=target)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A new virtual environment that sees the libraries of this one, but not this project."""
    path = tmp_path / "venv"
    venv.create(path, with_pip=False, symlinks=True)
    libraries = Path(sysconfig.get_path("purelib"))
    site = Path(run(path / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    shown = tmp_path / "libraries"
    shown.mkdir()
    for entry in libraries.iterdir():
        if "alluxio" not in entry.name and entry.name not in {"twisted", "bin"} and not entry.name.endswith(".pth"):
            (shown / entry.name).symlink_to(entry)
    (site / "libraries.pth").write_text(f"{shown}\n")
    # Twisted is copied: an installed plugin lands in its directory, and so does its cache.
    (site / "twisted").mkdir()
    for entry in (libraries / "twisted").iterdir():
        if entry.name == "plugins":
            (site / "twisted" / "plugins").mkdir()
            for plugin in entry.iterdir():
                if "alluxio" not in plugin.name and plugin.name not in {"dropin.cache", "__pycache__"}:
                    (site / "twisted" / "plugins" / plugin.name).write_bytes(plugin.read_bytes())
        else:
            (site / "twisted" / entry.name).symlink_to(entry)
    return path


def install(environment: Path, *arguments: str | Path) -> None:
    run(*PIP, "--python", environment / "bin" / "python", "install", "--no-deps", *arguments, cwd=environment.parent)


def check_installed(environment: Path) -> None:
    """twistd lists the command, Twisted finds the plugin, and the entry points are there."""
    python = environment / "bin" / "python"
    listed = run(python, "-c", "from twisted.scripts.twistd import run; run()", "--help", cwd=environment)
    assert "The S3 API of an Alluxio worker." in listed
    assert run(python, "-c", FIND, cwd=environment).strip() == "['alluxio_s3.tap']"
    groups = "from importlib.metadata import entry_points as e; print(sorted(one.name for one in e(group='alluxio_s3.ufs')))"
    # What is installed into the environment of the tests is what the package says.
    ours = sorted(one.name for one in entry_points(group="alluxio_s3.ufs") if one.dist is not None and one.dist.name == "alluxio-s3")
    assert run(python, "-c", groups, cwd=environment).strip() == str(ours)


def test_the_wheel(wheel: Path, environment: Path) -> None:
    """The wheel brings the command and leaves Twisted's own files alone."""
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if name.startswith("twisted/")] == ["twisted/plugins/alluxio_s3_plugin.py"]
    assert "alluxio_s3/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "tools/"))]
    install(environment, wheel)
    check_installed(environment)


def test_pip_install(source: Path, environment: Path) -> None:
    """`pip install .` brings the command."""
    install(environment, source)
    check_installed(environment)


def test_editable_install(source: Path, environment: Path) -> None:
    """`pip install -e .` brings the command, though Twisted looks for plugins on sys.path only."""
    install(environment, "--editable", source)
    check_installed(environment)


def test_uninstall(wheel: Path, environment: Path) -> None:
    """What is uninstalled is gone, and Twisted is as before."""
    python = environment / "bin" / "python"
    install(environment, wheel)
    run(*PIP, "--python", python, "uninstall", "--yes", "alluxio-s3", cwd=environment)
    assert run(python, "-c", FIND, cwd=environment).strip() == "[]"
