"""The certificate of the daemon: where it comes from, and what is said of files that are no good."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from alluxio_s3.http.certificates import CertificateFiles, Certificates
from alluxio_s3.settings import SettingsError
from alluxio_s3.threads import Threads
from tests.certificates import DAY, Authority, Issued

SECRET = "canary-7261"


def certificates(files: CertificateFiles) -> Certificates:
    clock = Clock()
    clock.rightNow = dt.datetime.now(dt.UTC).timestamp()
    return Certificates(files, clock, Threads(reactor, 1, "certificates"))  # no thread starts unless something is reloaded


def pem(directory: Path, issued: Issued, **more: Any) -> CertificateFiles:
    certificate = issued.certificate_file(directory / "certificate.pem")
    return CertificateFiles(str(certificate), str(issued.key_file(directory / "key.pem", more.get("key_password", ""))), **more)


def shown(context: ssl.SSLContext, authority: Authority, client: Issued | None = None, directory: Path | None = None) -> x509.Certificate:
    """The certificate that a client sees, after a handshake in memory that it trusts ``authority`` in."""
    trusting = ssl.create_default_context(cadata=authority.certificate.public_bytes(Encoding.PEM).decode())
    if client is not None and directory is not None:
        trusting.load_cert_chain(client.both_file(directory / "client.pem"))
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = context.wrap_bio(there, back, server_side=True)
    theirs = trusting.wrap_bio(back, there, server_hostname="localhost")
    shaken: set[Any] = set()
    while len(shaken) < 2:
        for end in (theirs, ours):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            shaken.add(end)
    der = theirs.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


@pytest.mark.parametrize("password", ["", SECRET])
def test_a_pem_certificate_and_its_key(tmp_path: Path, authority: Authority, password: str) -> None:
    """Certificate, chain and key are read from two files; the key may be encrypted."""
    issued = authority.between("middle").issue()
    assert shown(certificates(pem(tmp_path, issued, key_password=password)).context, authority) == issued.certificate


@pytest.mark.parametrize("password", ["", SECRET])
def test_a_pkcs12_key_store(tmp_path: Path, authority: Authority, password: str) -> None:
    """A key store has all of it, in whatever order."""
    issued = authority.between("first").between("second").issue()
    files = CertificateFiles(keystore=str(issued.keystore(tmp_path / "store.p12", password)), keystore_password=password)
    assert shown(certificates(files).context, authority) == issued.certificate


def test_no_key_is_left_behind(tmp_path: Path, authority: Authority) -> None:
    """The key is handed to OpenSSL without a file on a disk, and without a descriptor that stays."""
    before = set(Path("/proc/self/fd").iterdir())
    files = pem(tmp_path, authority.issue())
    certificates(files)
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["certificate.pem", "key.pem"]
    assert SECRET not in repr(CertificateFiles(keystore_password=SECRET, key_password=SECRET))


def broken(change: Callable[[Path, CertificateFiles], CertificateFiles], directory: Path, authority: Authority) -> str:
    files = change(directory, pem(directory, authority.issue()))
    with pytest.raises(SettingsError) as caught:
        certificates(files)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def garbled(path: Path, data: bytes = b"-----BEGIN RUBBISH-----\n") -> str:
    path.write_bytes(data)
    return str(path)


def other_key(directory: Path, files: CertificateFiles) -> CertificateFiles:
    return CertificateFiles(files.certificate, str(Authority().issue().key_file(directory / "other.pem")))


def encrypted(directory: Path, files: CertificateFiles, password: str = "") -> CertificateFiles:
    return CertificateFiles(files.certificate, str(Authority().key_file(directory / "e.pem", SECRET)), key_password=password)


def store(directory: Path, password: str, **more: Any) -> CertificateFiles:
    return CertificateFiles(keystore=str(Authority().issue().keystore(directory / "s.p12", SECRET)), keystore_password=password, **more)


BROKEN: dict[str, tuple[Callable[[Path, CertificateFiles], CertificateFiles], str]] = {
    "nothing": (lambda _d, _f: CertificateFiles(), "HTTPS needs a certificate: set alluxio.network.tls.server.cert"),
    "no certificate": (lambda d, f: CertificateFiles(str(d / "none"), f.key), "server.cert: {d}/none: No such file or directory"),
    "no key": (lambda d, f: CertificateFiles(f.certificate, str(d / "none")), "server.key: {d}/none: No such file or directory"),
    "a directory": (lambda d, f: CertificateFiles(str(d), f.key), "server.cert: {d}: Is a directory"),
    "endless": (lambda _d, f: CertificateFiles("/dev/zero", f.key), "server.cert: /dev/zero is too large"),
    "bad certificate": (lambda d, f: CertificateFiles(garbled(d / "x"), f.key), "server.cert: {d}/x is not a certificate in PEM"),
    "empty certificate": (lambda d, f: CertificateFiles(garbled(d / "x", b""), f.key), "server.cert: {d}/x is not a certificate in PEM"),
    "bad key": (lambda d, f: CertificateFiles(f.certificate, garbled(d / "x")), "server.key: {d}/x is not a private key in PEM"),
    "another's key": (other_key, "server.key: {d}/other.pem is not the key of the certificate"),
    "encrypted key": (encrypted, "server.key: {d}/e.pem is encrypted: set alluxio.network.tls.keystore.key.password"),
    "wrong password": (lambda d, f: encrypted(d, f, "wrong"), "server.key: {d}/e.pem cannot be decrypted with alluxio"),
    "no store": (lambda d, _f: CertificateFiles(keystore=str(d / "none")), "keystore.path: {d}/none: No such file or directory"),
    "bad store": (lambda d, _f: CertificateFiles(keystore=garbled(d / "x")), "keystore.path: {d}/x is no PKCS12 key store, or"),
    "store's password": (lambda d, _f: store(d, "wrong"), "keystore.path: {d}/s.p12 is no PKCS12 key store, or alluxio.network.tls.key"),
    "two passwords": (lambda d, _f: store(d, SECRET, key_password="x"), "keystore.key.password: a PKCS12 key store has one password"),
    "Java's": (lambda d, _f: CertificateFiles(keystore=garbled(d / "j", b"\xfe\xed\xfe\xed")), "keystore.path: {d}/j is in Java's own"),
    "both": (lambda d, f: CertificateFiles(f.certificate, f.key, str(d / "x")), "keystore.path: there is alluxio"),
    "nobody to trust": (lambda _d, f: CertificateFiles(f.certificate, f.key, client_auth="required"), "ca.cert: alluxio.network.tls"),
    "bad authority": (lambda d, f: CertificateFiles(f.certificate, f.key, ca=garbled(d / "x"), client_auth="optional"), "ca.cert: {d}/x"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_files_that_are_no_good(tmp_path: Path, authority: Authority, case: str) -> None:
    """The message names the property and the file, says what is wrong, and no secret."""
    change, words = BROKEN[case]
    assert words.replace("{d}", str(tmp_path)) in broken(change, tmp_path, authority)


@pytest.mark.parametrize(
    ("begins", "ends", "said"),
    [
        (-DAY * 9, -DAY, "has expired on"),
        (DAY, DAY * 9, "is not valid before"),
        (-DAY, DAY * 9, "the certificate expires on"),
        (-DAY, DAY * 60, "is valid until"),
    ],
)
def test_a_certificate_out_of_its_time_is_warned_of(
    tmp_path: Path, authority: Authority, begins: dt.timedelta, ends: dt.timedelta, said: str
) -> None:
    """It is served all the same: some clients do not look, and a daemon that is down helps nobody."""
    with capturedLogs() as captured:
        certificates(pem(tmp_path, authority.issue(begins=begins, ends=ends)))
    (event,) = [one for one in captured if "log_format" in one and "certificate" in one["log_format"]]
    assert said in event["log_format"]
    assert event["log_level"].name == ("info" if said == "is valid until" else "warn")


@pytest.mark.parametrize("auth", ["optional", "required"])
def test_clients_certificates(tmp_path: Path, authority: Authority, auth: str) -> None:
    """A client may, or must, show one of the authority that is trusted, a root or not, and no other."""
    trusted = Authority("root").between("clients") if auth == "optional" else Authority("clients")
    ca = str(Issued(None, trusted.certificate).certificate_file(tmp_path / "ca.pem"))
    context = certificates(pem(tmp_path, authority.issue(), ca=ca, client_auth=auth)).context
    assert shown(context, authority, trusted.issue("alice"), tmp_path)
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        shown(context, authority, Authority("clients").issue("mallory"), tmp_path)
    if auth == "optional":
        assert shown(context, authority)
    else:
        with pytest.raises(ssl.SSLError, match="peer did not return a certificate"):
            shown(context, authority)


@pytest_twisted.ensureDeferred
async def test_reloading(tmp_path: Path, authority: Authority) -> None:
    """New files are for new connections; files that are no good leave what there was, and say why."""
    first, second = authority.issue(), authority.issue()
    files = pem(tmp_path, first)
    threads = Threads(reactor, 1, "certificates")
    threads.start()
    try:
        made = Certificates(files, reactor, threads)
        before = made.context
        pem(tmp_path, second)
        await made.reload(files)
        assert shown(made.context, authority) == second.certificate
        assert shown(before, authority) == first.certificate
        first.certificate_file(tmp_path / "certificate.pem")
        with pytest.raises(SettingsError, match="is not the key of the certificate"):
            await made.reload(files)
        assert shown(made.context, authority) == second.certificate
    finally:
        threads.stop()
