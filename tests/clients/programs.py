"""The client programs: where `install.sh` put them, and how a test runs one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = Path(os.environ.get("ALLUXIO_S3_TOOLS", ROOT / ".tools"))
SCRIPTS = Path(__file__).resolve().parent / "scripts"

ACCESS_KEY = "alice"
SECRET_KEY = "anything"
REGION = "us-east-1"


def missing(what: str) -> None:
    """Skip the test for want of *what*; fail it instead where all clients are required (`ALLUXIO_S3_TEST_CLIENTS=required`)."""
    message = f"{what} is not there: run tests/clients/install.sh"
    if os.environ.get("ALLUXIO_S3_TEST_CLIENTS") == "required":
        pytest.fail(message)
    pytest.skip(message)


def installed(client: str, program: str) -> Path:
    """The path of *program* of *client* under `.tools`; the test is skipped if it is not there."""
    path = TOOLS / client / "bin" / program
    if not path.exists():
        missing(f"{client}'s {program}")
    return path


def on_the_system(program: str) -> Path:
    """The path of the system's own *program* (Debian's package); the test is skipped if it is not there."""
    for directory in ("/usr/bin", "/usr/local/bin", "/bin"):
        path = shutil.which(program, path=directory)
        if path is not None:
            return Path(path)
    missing(f"the system's {program}")
    raise AssertionError("unreachable: missing() does not return")


def client_environment(endpoint: str, home: Path) -> dict[str, str]:
    """An environment with the endpoint and the credentials under AWS's names, and a home where no settings of the user's lie."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        # One try: a 5xx that a retry covers up is still a fault.
        "AWS_MAX_ATTEMPTS": "1",
        "ENDPOINT": endpoint,
    }


def access_keys(directory: Path) -> Path:
    """A file of access keys with the one of these tests."""
    path = directory / "access-keys"
    path.write_text(f"[{ACCESS_KEY}]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n")
    return path


class Program:
    """A client program with the arguments that every run of it shares.

    Args:
        command: the program and those arguments.
        environment: its whole environment.
        directory: where it runs.
    """

    def __init__(self, command: list[str], environment: Mapping[str, str], directory: Path) -> None:
        self.command = command
        self.environment = dict(environment)
        self.directory = directory

    def attempt(self, *arguments: object, data: bytes | None = None, timeout: float = 180.0) -> subprocess.CompletedProcess[bytes]:
        """Run it, *data* on its standard input, and return how it went."""
        return subprocess.run(
            [*self.command, *map(str, arguments)],
            env=self.environment,
            cwd=self.directory,
            input=b"" if data is None else data,
            capture_output=True,
            check=False,
            timeout=timeout,
        )

    def __call__(self, *arguments: object, data: bytes | None = None, timeout: float = 180.0) -> bytes:
        """Run it, and return its standard output; a non-zero exit status fails the test with all that it said."""
        done = self.attempt(*arguments, data=data, timeout=timeout)
        if done.returncode != 0:
            shown = " ".join([*self.command, *map(str, arguments)])
            output = (done.stdout[-4000:] + b"\n" + done.stderr[-4000:]).decode("utf-8", "replace")
            pytest.fail(f"{shown}\nended with {done.returncode}:\n{output}", pytrace=False)
        return done.stdout

    def text(self, *arguments: object, data: bytes | None = None) -> str:
        """As a call, decoded."""
        return self(*arguments, data=data).decode()


def script(client: str, name: str, environment: Mapping[str, str], directory: Path) -> Program:
    """The Python script *name* of this directory, run by the interpreter of *client*'s environment.

    Its first argument is the function to call, and the others are that function's.
    """
    python = installed(client, "python")
    more = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return Program([str(python), str(SCRIPTS / name)], {**environment, **more}, directory)
