"""What ``doctor`` finds without asking a store: in the configuration, on the machine, of the daemon if it runs."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from attrs import asdict, frozen
from cryptography import x509
from rich.filesize import decimal

from alluxio_s3.cli.admin_client import AdminClient
from alluxio_s3.cli.configuration import NotDone, ToldWrongly
from alluxio_s3.http.certificates import EXPIRES_SOON, check_certificates
from alluxio_s3.listening import certificate_files
from alluxio_s3.ops.clock_watch import kernel_is_unsynchronized
from alluxio_s3.settings import Loaded, Settings, SettingsError

OK, WARNING, PROBLEM = "ok", "warning", "problem"
FILES = 4096
LOW_BYTES = 1 << 30
CONNECT_SECONDS = 3.0


@frozen
class Finding:
    """What was found ``about`` something, how bad it is, and what to do about it."""

    level: str
    about: str
    said: str
    advice: str = ""

    def document(self) -> dict[str, str]:
        """For programs."""
        return asdict(self)


def examine(loaded: Loaded) -> Iterator[Finding]:
    """Everything."""
    settings = loaded.settings
    running = _runs(loaded)
    yield from _configuration(loaded)
    yield from _daemon(loaded, running=running)
    yield from _ports(settings, running=running)
    yield from _certificate(settings)
    yield from _attributes(settings)
    yield from _disks(settings)
    yield from _limits()
    yield from _clock()
    yield from _etcd(settings)


def _configuration(loaded: Loaded) -> Iterator[Finding]:
    if loaded.source_path is None:
        yield Finding(WARNING, "configuration", "there is no properties file", "name it with --config")
    else:
        yield Finding(OK, "configuration", loaded.source_path)
    for warning in loaded.warnings:
        yield Finding(WARNING, "configuration", warning, "see docs/configuration.md")
    if not loaded.settings.api_enabled:
        yield Finding(PROBLEM, "configuration", "the S3 API is not enabled", "set alluxio.worker.s3.api.enabled=true")
    for name, path in (
        ("access keys", loaded.settings.access_keys),
        ("secret of STS", loaded.settings.sts_secret),
        ("private key", loaded.settings.tls_key),
        ("mount table", loaded.settings.mount_table),
    ):
        with suppress(OSError):
            if path is not None and Path(path).stat().st_mode & 0o077:
                yield Finding(WARNING, name, f"others than its owner may read {path}", f"chmod 600 {path}")
    settings = loaded.settings
    open_to_all = settings.bind_host not in ("127.0.0.1", "::1", "localhost")
    if settings.authentication_type.lower() == "simple" and open_to_all:
        yield Finding(
            WARNING, "users", f"SIMPLE believes whatever name a client gives, and {settings.bind_host} is not this machine only",
            "set alluxio.worker.s3.authentication.type, or bind.host=127.0.0.1",
        )  # fmt: skip


def _runs(loaded: Loaded) -> bool:
    with suppress(NotDone, ToldWrongly):
        AdminClient.of(loaded, None).get("/live")
        return True
    return False


def _daemon(loaded: Loaded, *, running: bool) -> Iterator[Finding]:
    if not loaded.settings.admin_port:
        yield Finding(WARNING, "admin port", "there is none, so nobody sees how the daemon is", "set alluxio.worker.s3.admin.port=29997")
        return
    if not running:
        yield Finding(WARNING, "daemon", "it does not answer at the admin port", "is it started? systemctl status alluxio-s3")
        return
    found = AdminClient.of(loaded, None).ready()
    if found["ready"]:
        yield Finding(OK, "daemon", "it runs, and is ready")
    for name, reason in found["reasons"].items():
        yield Finding(PROBLEM, f"daemon: {name}", reason, "requests should go elsewhere until this is mended")
    for name, warning in found["warnings"].items():
        yield Finding(WARNING, f"daemon: {name}", warning, "docs/faults.md tells what to do")


def _ports(settings: Settings, *, running: bool) -> Iterator[Finding]:
    wanted = [("http", settings.rest_port)] if not settings.only_https and not settings.endpoints else []
    wanted += [("https", settings.https_port)] if settings.tls_enabled else []
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.bind_host, settings.bind_host)  # noqa: S104
    for name, port in wanted:
        if not port:
            continue
        answers = _answers(host, port)
        if running and not answers:
            yield Finding(PROBLEM, f"{name} port", f"nobody answers at {host}:{port}, though the daemon runs", "see its log")
        elif answers and not running:
            yield Finding(
                WARNING,
                f"{name} port",
                f"somebody answers at {host}:{port}, but the daemon is not seen",
                f"ss -ltnp 'sport = :{port}'",
            )
        else:
            yield Finding(OK, f"{name} port", f"{host}:{port} {'answers' if answers else 'is free'}")


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _certificate(settings: Settings) -> Iterator[Finding]:
    if not settings.tls_enabled:
        return
    try:
        check_certificates(certificate_files(settings))
    except SettingsError as problem:
        yield Finding(PROBLEM, "certificate", str(problem), "docs/https.md tells how to make one")
        return
    if settings.tls_certificate is None:
        yield Finding(OK, "certificate", f"{settings.tls_keystore} can be used")
        return
    ends = x509.load_pem_x509_certificates(Path(settings.tls_certificate).read_bytes())[0].not_valid_after_utc
    left = ends - datetime.now(UTC)
    said = f"{settings.tls_certificate} is valid until {ends:%Y-%m-%d}"
    if left.total_seconds() < 0:
        yield Finding(PROBLEM, "certificate", f"{settings.tls_certificate} has expired", "replace it, then: systemctl reload alluxio-s3")
    elif left < EXPIRES_SOON:
        yield Finding(WARNING, "certificate", said, "replace it, then: systemctl reload alluxio-s3")
    else:
        yield Finding(OK, "certificate", said)


def _attributes(settings: Settings) -> Iterator[Finding]:
    root = _directory(settings.ufs_root)
    if root is None or not root.is_dir() or settings.tag_store != "object":
        return
    probe = root / f".alluxio-s3-doctor-{os.getpid()}"
    try:
        probe.touch(0o600)
        try:
            os.setxattr(probe, "user.alluxio-s3", b"1")
        finally:
            probe.unlink()
    except PermissionError:
        yield Finding(WARNING, "attributes", f"this user may not write to {root}", "run this as the daemon's user")
    except OSError as problem:
        yield Finding(
            WARNING, "attributes", f"{root} takes no extended attributes: {problem.strerror}",
            "metadata goes to files of the daemon's; for tags set alluxio.worker.s3.tag.store=embedded",
        )  # fmt: skip
    else:
        yield Finding(OK, "attributes", f"{root} takes extended attributes")


def _disks(settings: Settings) -> Iterator[Finding]:
    places = [("store", _directory(settings.ufs_root), 0)]
    places += [("cache", Path(path), size) for path, size in zip(settings.page_store_dirs, settings.page_store_sizes, strict=True)]
    places += [
        (f"{name} log", Path(path).parent, 0) for name, path in (("access", settings.access_log), ("audit", settings.audit_log)) if path
    ]
    for name, path, promised in places:
        if path is None:
            continue
        if not path.is_dir():
            yield Finding(PROBLEM, name, f"{path} is no directory", f"install -d -o alluxio {path}")
            continue
        if not os.access(path, os.W_OK):
            yield Finding(PROBLEM, name, f"this user may not write to {path}", "run this as the daemon's user, or chown it")
            continue
        if promised and path.stat().st_mode & 0o077:
            yield Finding(PROBLEM, name, f"others may look into {path}", f"chmod 700 {path}")
            continue
        disk = os.statvfs(path)
        free, whole = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        said = f"{path}: {decimal(free)} of {decimal(whole)} are free"
        if promised > whole:
            yield Finding(
                PROBLEM, name, f"{said}, and {decimal(promised)} are promised to the cache", "lower alluxio.worker.page.store.sizes"
            )
        elif free < LOW_BYTES or (not disk.f_favail and disk.f_files):
            yield Finding(WARNING, name, said, "make room: writes fail when it is full")
        else:
            yield Finding(OK, name, said)


def _limits() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES:
        advice = f"LimitNOFILE= in the unit, or ulimit -n {FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)}"
        yield Finding(WARNING, "open files", f"a process started here may open {soft}", advice)
    else:
        yield Finding(OK, "open files", f"a process started here may open {soft}")


def _clock() -> Iterator[Finding]:
    if kernel_is_unsynchronized():
        yield Finding(WARNING, "clock", "nobody keeps this machine's clock right", "timedatectl set-ntp true; signatures last 15 minutes")
    else:
        yield Finding(OK, "clock", "it is kept right")


def _etcd(settings: Settings) -> Iterator[Finding]:
    for endpoint in settings.etcd_endpoints:
        parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
        if _answers(parts.hostname or "", parts.port or 2379):
            yield Finding(OK, "etcd", f"{endpoint} answers")
        else:
            yield Finding(PROBLEM, "etcd", f"nobody answers at {endpoint}", "etcdctl endpoint health; alluxio.etcd.endpoints")


def _directory(uri: str | None) -> Path | None:
    """The directory that a URI of an under-store is, if it is one."""
    if uri is None or ("://" in uri and not uri.startswith("file://")):
        return None
    return Path(uri.removeprefix("file://"))
