"""A cluster on this machine: python -m tools.demo_cluster (make demo-cluster)

Three workers that find each other in a real etcd, nginx before them, and a store that speaks S3. Objects in a bucket of it are mounted as
"models" and loaded into the caches of those who own them. Everything is in one directory, and ends with Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import boto3  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent.parent
ETCD = ROOT / "tests" / "cluster" / "servers" / "etcd.sh"
BALANCERS = ROOT / "tests" / "deploy" / "balancers.sh"
BIN = Path(sys.executable).parent

HOST = "127.0.0.1"
BALANCER, STORE, ETCD_PORT = 29980, 29970, 29977
WORKERS = (1, 2, 3)
OBJECTS, OBJECT_BYTES = 48, 4 << 20
PATIENCE_SECONDS = 60.0

PROPERTIES = """\
alluxio.worker.s3.api.enabled=true
alluxio.worker.s3.bind.host={host}
alluxio.worker.hostname={host}
alluxio.worker.rest.port={s3}
alluxio.worker.s3.admin.port={admin}
alluxio.worker.s3.peer.port={peer}
alluxio.worker.s3.connection.keep.alive.enabled=true
alluxio.worker.s3.drain.notice=2sec
alluxio.cluster.name=demo
alluxio.etcd.endpoints=http://{host}:{etcd}
alluxio.worker.identity.uuid.file.path={directory}/identity
alluxio.worker.s3.mount.table=etcd
alluxio.worker.page.store.dirs={directory}/pages
alluxio.worker.page.store.sizes=1GB
alluxio.worker.s3.access.log.path={directory}/access.log
"""


class Demo:
    """Its parts, in the order in which they start; ``close`` ends them the other way round."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ends = ExitStack()
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Everything. Raises SystemExit when a part does not come up."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self._run("etcd", [str(ETCD), "run", str(self.directory / "etcd"), str(ETCD_PORT)], ETCD_PORT)
        self._run("store", [str(BIN / "moto_server"), "-H", HOST, "-p", str(STORE)], STORE)
        self._fill()
        for number in WORKERS:
            self._worker(number)
        self._tell("mount", "add", "--path", "/models", "--ufs-uri", "s3://models/", *self._store_options())
        self._balancer()

    def watch(self) -> None:
        """Return when a part has ended, which none should."""
        while all(process.poll() is None for process in self._running.values()):
            time.sleep(0.5)
        ended = [name for name, process in self._running.items() if process.poll() is not None]
        print(f"{ended[0]} has ended; its log: {self.directory / ended[0]}.log", file=sys.stderr)

    def warm(self) -> None:
        """Have each object loaded by the worker that owns it."""
        self._tell("load", "models", shown=True)

    def close(self) -> None:
        """End everything."""
        self._ends.close()

    def _fill(self) -> None:
        store = boto3.client(
            "s3", endpoint_url=f"http://{HOST}:{STORE}", region_name="us-east-1", aws_access_key_id="demo", aws_secret_access_key="demo"
        )
        store.create_bucket(Bucket="models")
        for number in range(OBJECTS):
            store.put_object(Bucket="models", Key=f"shard-{number:05}.bin", Body=os.urandom(OBJECT_BYTES))

    def _store_options(self) -> list[str]:
        options = {
            "alluxio.underfs.s3.endpoint": f"http://{HOST}:{STORE}",
            "alluxio.underfs.s3.region": "us-east-1",
            "s3a.accessKeyId": "demo",
            "s3a.secretKey": "env:DEMO_SECRET",
        }
        return [word for name, value in options.items() for word in ("--option", f"{name}={value}")]

    def _worker(self, number: int) -> None:
        directory = self.directory / f"worker{number}"
        directory.mkdir()
        ports = {"s3": 29980 + number, "admin": 29970 + number, "peer": 29960 + number}
        configuration = directory / "alluxio-site.properties"
        configuration.write_text(PROPERTIES.format(host=HOST, directory=directory, etcd=ETCD_PORT, **ports))
        command = [str(BIN / "twistd"), "--nodaemon", "--pidfile=", "alluxio-s3", "--config", str(configuration)]
        self._run(f"worker{number}", command, ports["s3"])

    def _balancer(self) -> None:
        own = self.directory / "nginx"
        own.mkdir()
        text = (ROOT / "deploy" / "nginx" / "alluxio-s3.conf").read_text()
        for number in WORKERS:
            text = text.replace(f"10.0.0.{number}:29998", f"{HOST}:{29980 + number}")
        text = re.sub(r"listen 80;", f"listen {HOST}:{BALANCER};", text)
        places = "".join(f"{name}_temp_path {own}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        configuration = own / "nginx.conf"
        start = f"daemon off; pid {own}/pid; error_log {own}/error.log; events {{ worker_connections 512; }}"
        configuration.write_text(f"{start}\nhttp {{ access_log off; {places}\n{text}\n}}\n")
        self._run("nginx", [str(BALANCERS), "nginx", "-c", str(configuration), "-p", str(own), "-e", str(own / "start.log")], BALANCER)

    def _tell(self, *words: str, shown: bool = False) -> None:
        """Run ``alluxio-s3`` as somebody who looks after worker 1 would."""
        configuration = self.directory / "worker1" / "alluxio-site.properties"
        command = [str(BIN / "alluxio-s3"), words[0], *_with_config(words[1:], configuration)]
        ended = subprocess.run(command, check=False, capture_output=not shown, text=True, env=os.environ | {"DEMO_SECRET": "demo"})
        if ended.returncode:
            raise SystemExit(f"alluxio-s3 {words[0]} failed: {ended.stderr}")

    def _run(self, name: str, command: list[str], port: int) -> None:
        with (self.directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._running[name] = process
        self._ends.callback(_end, process)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection((HOST, port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                print(f"  {name:8} at {HOST}:{port}", flush=True)
                return
        raise SystemExit(f"{name} does not serve; its log: {self.directory / name}.log")


def _with_config(words: tuple[str, ...], configuration: Path) -> list[str]:
    """The words of a command with ``--config`` where it takes it."""
    return [*words, "--config", str(configuration)]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def main() -> None:
    """Start it, say what to try, and wait."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo_cluster", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--directory", type=Path, default=ROOT / "run" / "demo", help="where it is; emptied first")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    demo = Demo(options.directory.resolve())
    try:
        demo.start()
        demo.warm()
        print(f"""
  The cluster serves S3 at http://{HOST}:{BALANCER}. In another terminal:

    aws --no-sign-request --endpoint-url http://{HOST}:{BALANCER} s3 ls s3://models/
    curl -sL -H 'x-alluxio-redirect: true' -o /dev/null -w '%{{num_redirects}} redirects\\n' http://{HOST}:{BALANCER}/models/shard-00000.bin

  Dashboards: {", ".join(f"http://{HOST}:{29970 + number}/" for number in WORKERS)}. Stop with Ctrl-C.
""")
        demo.watch()
        sys.exit(1)
    except KeyboardInterrupt:
        print()
    finally:
        demo.close()


if __name__ == "__main__":
    main()
