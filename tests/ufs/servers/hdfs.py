"""A real HDFS for tests: NameNode and DataNode as children of the tests, on free ports (see hdfs.sh)."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path
from random import Random
from urllib.parse import quote, urlencode

SCRIPT = Path(__file__).with_name("hdfs.sh")
_SECONDS = 60


def is_installed() -> bool:
    """Whether ``hdfs.sh install`` has been run, and there is a Java."""
    return subprocess.run([SCRIPT, "installed"], capture_output=True, check=False).returncode == 0


class Hdfs:
    """A running file system, empty at first. Its superuser is ``hdfs``; ``port`` is the NameNode's HTTP port."""

    def __init__(self, directory: Path, *properties: str) -> None:
        self.directory = directory
        self.port = _free_ports(5)
        self._children: list[subprocess.Popen[bytes]] = []
        subprocess.run([SCRIPT, "format", directory, str(self.port), *properties], check=True, capture_output=True)
        self._logs = []
        try:
            for role in ("namenode", "datanode"):
                self.start(role)
        except BaseException:
            self.stop()
            raise

    def start(self, role: str) -> None:
        """Start ``namenode`` or ``datanode``, and wait until it serves."""
        log = (self.directory / f"{role}.log").open("ab")
        self._logs.append(log)
        self._children.append(subprocess.Popen([SCRIPT, role, self.directory], stdout=log, stderr=log, start_new_session=True))
        self._wait_for(self._has_datanode if role == "datanode" else self._answers, role)

    def ask(self, method: str, path: str, op: str, **parameters: str) -> object:
        """The answer to a WebHDFS request of the superuser's (or of ``user``); names with dots have underscores here."""
        user = parameters.pop("user", "hdfs")
        named = {name.replace("_", "."): value for name, value in parameters.items()}
        query = urlencode({"op": op, "user.name": user, **named})
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/webhdfs/v1{quote(path)}?{query}", method=method)
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def write(self, path: str, data: bytes, op: str = "CREATE", user: str = "hdfs") -> None:
        """Write a file as another program does; with ``op="APPEND"`` add to it."""
        method = "POST" if op == "APPEND" else "PUT"
        query = urlencode({"op": op, "user.name": user} | ({} if op == "APPEND" else {"overwrite": "true"}))
        url = f"http://127.0.0.1:{self.port}/webhdfs/v1{quote(path)}?{query}"
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            opener.open(urllib.request.Request(url, method=method), timeout=_SECONDS)
        except urllib.error.HTTPError as answer:
            with answer:
                url = answer.headers["Location"]
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=_SECONDS):
            pass

    def admin(self, *arguments: str) -> None:
        """What ``hdfs dfsadmin`` does."""
        subprocess.run([SCRIPT, "admin", self.directory, *arguments], check=True, capture_output=True)

    def stop(self) -> None:
        """End both servers."""
        for child in self._children:
            child.kill()
            child.wait()
        for log in self._logs:
            log.close()

    def _answers(self) -> bool:
        self.ask("GET", "/", "LISTSTATUS")
        return True

    def _has_datanode(self) -> bool:
        url = f"http://127.0.0.1:{self.port}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
            return json.load(answer)["beans"][0]["NumLiveDataNodes"] == 1

    def _wait_for(self, ready: object, role: str) -> None:
        pause = threading.Event()
        for _ in range(_SECONDS * 10):
            if self._children[-1].poll() is not None:
                break
            try:
                if ready():
                    return
            except OSError:
                pass
            pause.wait(0.1)
        raise RuntimeError(f"the {role} did not start; see {self.directory}/{role}.log")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_anything: object) -> None:
        return None


def _free_ports(count: int) -> int:
    """The first of ``count`` ports in a row that nobody listens on, below those that the kernel gives to anybody."""
    chosen = Random()
    for _ in range(100):
        port = chosen.randrange(11_000, 32_000)
        held = []
        try:
            for place in range(count):
                one = socket.socket()
                held.append(one)
                one.bind(("127.0.0.1", port + place))
        except OSError:
            continue
        finally:
            for one in held:
                one.close()
        return port
    raise RuntimeError(f"no {count} free ports in a row")
