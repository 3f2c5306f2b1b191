"""The servers that are compared, each on a directory whose top-level directories are its buckets, all with the same files."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from attrs import evolve, frozen

from benchmarks.http.processor import seconds_of
from tests.certificates import Authority
from tests.running import ROOT, Daemon, free_port, free_ports

HOST = "127.0.0.1"
SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
RCLONE = Path(os.environ.get("ALLUXIO_S3_TOOLS", ROOT / ".tools")) / "rclone" / "bin" / "rclone"

_VERSION = re.compile(r"\d+\.[\d.]*\d")
_NGINX = """
{user}
daemon off;
worker_processes 1;
pid {scratch}/nginx.pid;
error_log {scratch}/nginx.error.log;
events {{ worker_connections 1024; }}
http {{
    access_log {scratch}/nginx.access.log;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_temp_path {root}/.nginx;
    proxy_temp_path {scratch}/nginx; fastcgi_temp_path {scratch}/nginx; uwsgi_temp_path {scratch}/nginx; scgi_temp_path {scratch}/nginx;
    server {{
        listen {host}:{port} backlog=1024;
        listen {host}:{secure} ssl backlog=1024;
        ssl_certificate {scratch}/certificate.pem;
        ssl_certificate_key {scratch}/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        root {root};
        location / {{ dav_methods PUT; }}
    }}
}}
"""


@frozen
class Server:
    """One that runs, at ``port`` of ``host``, this machine's loopback, and on TLS at ``secure_port``, if it is there too.

    ``context`` is that of its clients' TLS; None: the port is a plain one.
    """

    name: str
    pid: int
    port: int
    secure_port: int = 0
    context: ssl.SSLContext | None = None
    host: str = HOST

    def over_tls(self) -> Server:
        """The same, as its clients on TLS see it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return evolve(self, port=self.secure_port, context=context)

    def processor_seconds(self) -> float:
        """What it has taken of the processors since it was started."""
        return seconds_of(self.pid)


@contextmanager
def daemon(
    scratch: Path, root: Path, properties: Mapping[str, object] | None = None, host: str = HOST, before: Sequence[str] = ()
) -> Iterator[Server]:
    """This daemon: one process, access log in a file, connections are kept; all else as it comes, or as ``properties`` say.

    ``before`` are words that stand before its command, such as those that have it run in a network where it is ``host``.
    """
    certificate, key = _certificate(scratch)
    secure = free_port()
    with Daemon(scratch / "daemon", before) as running:
        endpoint = running.start(
            {
                "alluxio.worker.s3.api.enabled": True,
                "alluxio.worker.rest.port": 0,
                "alluxio.worker.s3.https.port": secure,
                "alluxio.network.tls.enabled": True,
                "alluxio.network.tls.server.cert": certificate,
                "alluxio.network.tls.server.key": key,
                "alluxio.worker.s3.bind.host": host,
                "alluxio.worker.s3.connection.keep.alive.enabled": True,
                "alluxio.worker.s3.access.log.path": scratch / "daemon.access.log",
                "alluxio.dora.client.ufs.root": root,
                **(properties or {}),
            }
        )
        yield Server("alluxio-s3", running.pid, urlsplit(endpoint).port or 0, secure, host=host)
        running.stop()
        if running.trouble:
            raise SystemExit("the daemon's log has trouble:\n" + "\n".join(running.trouble))


@contextmanager
def nginx(scratch: Path, root: Path) -> Iterator[Server]:
    """nginx with one worker, sendfile and an access log; it takes PUT where it was built with WebDAV."""
    port, secure = free_ports(2)
    _certificate(scratch)
    configuration = scratch / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    configuration.write_text(_NGINX.format(user=user, scratch=scratch, root=root, host=HOST, port=port, secure=secure), encoding="utf-8")
    command = [_found("nginx"), "-e", str(scratch / "nginx.error.log"), "-c", str(configuration)]
    with _process(command, port, scratch / "nginx.log") as pid:
        yield Server("nginx", pid, port, secure)


@contextmanager
def rclone(scratch: Path, root: Path) -> Iterator[Server]:
    """``rclone serve s3`` as it comes, but for its ETags: they are off, since for each answer it would read the file for its MD5."""
    port = free_port()
    command = [
        str(RCLONE),
        "serve",
        "s3",
        str(root),
        "--addr",
        f"{HOST}:{port}",
        "--etag-hash",
        "",
        "--config",
        str(scratch / "rclone.conf"),
    ]
    with _process(command, port, scratch / "rclone.log") as pid:
        yield Server("rclone", pid, port)


def versions() -> str:
    """Who the others are."""
    shown = subprocess.run([_found("nginx"), "-v"], check=True, capture_output=True, text=True).stderr
    other = subprocess.run([str(RCLONE), "version"], check=True, capture_output=True, text=True).stdout
    return ", ".join(f"{name} {_VERSION.findall(text)[0]}" for name, text in (("nginx", shown), ("rclone", other)))


@contextmanager
def _process(command: list[str], port: int, log: Path) -> Iterator[int]:
    with log.open("wb") as written:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT)
    try:
        _wait_for(port, process, log)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port), 1).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"{process.args!r} does not serve:\n{log.read_text(errors='replace')}")


def _certificate(scratch: Path) -> tuple[Path, Path]:
    """A certificate and its key, on an elliptic curve."""
    issued = Authority().issue()
    return issued.certificate_file(scratch / "certificate.pem"), issued.key_file(scratch / "key.pem")


def _found(program: str) -> str:
    path = shutil.which(program, path=SBIN)
    if path is None:
        raise SystemExit(f"{program} is not installed: benchmarks/http/install.sh")
    return path
