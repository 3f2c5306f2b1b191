"""The daemon's certificate, from PEM files or a PKCS12 key store, as a TLS context that can be replaced while it serves.

What is wrong with the files is found here, before a client could find it: each is read once, checked, and handed to OpenSSL as it
was checked. Private keys touch no disk on the way, and no message says anything of their content.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from alluxio_s3.settings import SettingsError
from alluxio_s3.threads import Threads

CERTIFICATE = "alluxio.network.tls.server.cert"
KEY = "alluxio.network.tls.server.key"
KEYSTORE = "alluxio.network.tls.keystore.path"
KEYSTORE_PASSWORD = "alluxio.network.tls.keystore.password"  # noqa: S105  # the name of a property
KEY_PASSWORD = "alluxio.network.tls.keystore.key.password"  # noqa: S105
CA = "alluxio.network.tls.ca.cert"
CLIENT_AUTH = "alluxio.network.tls.client.auth"

# Those of TLS 1.2 that authenticate what they encrypt and whose keys a stolen certificate does not reveal.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
EXPIRES_SOON = timedelta(days=14)
MAX_FILE_BYTES = 1 << 20
_JKS = b"\xfe\xed\xfe\xed"
_VERIFYING = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


@frozen
class CertificateFiles:
    """Where the certificate is, and whose certificates clients may show: paths, and ``client_auth`` as in the configuration.

    Either ``certificate`` and ``key`` (PEM; ``key_password`` if it is encrypted), or ``keystore`` (PKCS12). ``contents`` stand for those of
    the files, by path.
    """

    certificate: str | None = None
    key: str | None = None
    keystore: str | None = None
    keystore_password: str = field(default="", repr=False)
    key_password: str = field(default="", repr=False)
    ca: str | None = None
    client_auth: str = "none"
    contents: Mapping[str, bytes] = field(factory=dict, repr=False)


@frozen
class Identity:
    """A private key and the certificates that vouch for it, the server's own first."""

    key: Any = field(repr=False)
    chain: Sequence[x509.Certificate]


class Certificates:
    """The TLS context of new connections: ``context``, which ``reload`` replaces; ``expires`` is when it does, as ``clock`` tells time.

    Raises SettingsError if the files are no good; what they held before, ``kept`` by path, does as well then.
    """

    _log = Logger()

    def __init__(self, files: CertificateFiles, clock: IReactorTime, threads: Threads, kept: Mapping[str, bytes] | None = None) -> None:
        self.expires = 0.0
        self.files = files
        self._clock = clock
        self._threads = threads
        try:
            found = load(files)
        except SettingsError as problem:
            if not kept:
                raise
            self._log.error("{problem}; the certificate is the one that was there before", problem=problem)
            found = load(evolve(files, contents=kept))
        self._take(found)

    async def reload(self, files: CertificateFiles) -> None:
        """Read ``files``, for connections to come; those that there are go on as they are.

        Raises SettingsError, and leaves everything as it was, if they are no good.
        """
        found = await self._threads.run(load, files)
        self.files = files
        self._take(found)

    def trouble(self) -> str:
        """Why an operator should look at the certificate; empty if there is no reason."""
        left = self.expires - self._clock.seconds()
        place = self.files.keystore or self.files.certificate
        if left >= EXPIRES_SOON.total_seconds():
            return ""
        return f"{place} expires in {left / 86400:.1f} days" if left > 0 else f"{place} has expired"

    def _take(self, loaded: tuple[ssl.SSLContext, x509.Certificate]) -> None:
        self.context, own = loaded
        now = datetime.fromtimestamp(self._clock.seconds(), UTC)
        begins, ends = own.not_valid_before_utc, own.not_valid_after_utc
        self.expires = ends.timestamp()
        place = self.files.keystore or self.files.certificate
        if ends < now:
            self._log.warn("{place}: the certificate has expired on {ends}: clients will refuse it", place=place, ends=ends)
        elif begins > now:
            self._log.warn("{place}: the certificate is not valid before {begins}: clients will refuse it", place=place, begins=begins)
        elif ends < now + EXPIRES_SOON:
            self._log.warn("{place}: the certificate expires on {ends}", place=place, ends=ends)
        else:
            self._log.info("{place}: the certificate is valid until {ends}", place=place, ends=ends)


def check_certificates(files: CertificateFiles) -> None:
    """That the files are good. Raises SettingsError that says why not."""
    load(files)


def load(files: CertificateFiles) -> tuple[ssl.SSLContext, x509.Certificate]:
    """The context of servers, and their certificate. It blocks. Raises SettingsError."""
    identity = load_identity(files)
    own = identity.chain[0]
    if own.public_key() != identity.key.public_key():
        raise SettingsError(f"{files.key or files.keystore} is not the key of the certificate", name=KEY if files.key else KEYSTORE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    # All that are left are good: a client knows best which one its processor is quick at.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    with _in_memory(identity) as path:
        try:
            context.load_cert_chain(path)
        except ssl.SSLError as problem:
            reason = (problem.reason or "unknown").replace("_", " ").lower()
            place = files.keystore or files.certificate
            raise SettingsError(f"{place}: OpenSSL refuses it: {reason}", name=KEYSTORE if files.keystore else CERTIFICATE) from None
    _verify_clients(context, files)
    return context, own


def load_identity(files: CertificateFiles) -> Identity:
    """The certificate and its key. It blocks. Raises SettingsError."""
    return _from_keystore(files) if files.keystore else _from_pem(files)


def load_trusted(files: CertificateFiles) -> Sequence[x509.Certificate]:
    """Whose certificates are to be trusted. It blocks. Raises SettingsError."""
    if files.ca is None:
        raise SettingsError(f"{CLIENT_AUTH}={files.client_auth} needs to know whose certificates to trust", name=CA)
    return _certificates(files, files.ca, CA)


def _from_pem(files: CertificateFiles) -> Identity:
    if files.certificate is None or files.key is None:
        raise SettingsError(f"HTTPS needs a certificate: set {CERTIFICATE} and {KEY}, or {KEYSTORE}")
    chain = _certificates(files, files.certificate, CERTIFICATE)
    data = _read(files, files.key, KEY)
    password = files.key_password.encode() or None
    try:
        key = serialization.load_pem_private_key(data, password if b"ENCRYPTED" in data else None)
    except TypeError:
        raise SettingsError(f"{files.key} is encrypted: set {KEY_PASSWORD}", name=KEY) from None
    except (ValueError, UnsupportedAlgorithm):
        wrong = f"cannot be decrypted with {KEY_PASSWORD}" if password and b"ENCRYPTED" in data else "is not a private key in PEM"
        raise SettingsError(f"{files.key} {wrong}", name=KEY) from None
    return Identity(key, chain)


def _from_keystore(files: CertificateFiles) -> Identity:
    place = files.keystore or ""
    if files.certificate is not None:
        raise SettingsError(f"there is {CERTIFICATE} too: set one of them", name=KEYSTORE)
    if files.key_password not in ("", files.keystore_password):
        raise SettingsError(f"a PKCS12 key store has one password: leave this out, or set it as {KEYSTORE_PASSWORD}", name=KEY_PASSWORD)
    data = _read(files, place, KEYSTORE)
    if data.startswith(_JKS):
        raise SettingsError(f"{place} is in Java's own format; convert it: keytool -importkeystore -deststoretype pkcs12", name=KEYSTORE)
    try:
        store = pkcs12.load_pkcs12(data, files.keystore_password.encode() or None)
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError(f"{place} is no PKCS12 key store, or {KEYSTORE_PASSWORD} is not its password", name=KEYSTORE) from None
    if store.key is None or store.cert is None:
        raise SettingsError(f"{place} does not hold a private key and its certificate", name=KEYSTORE)
    return Identity(store.key, _ordered(store.cert.certificate, [one.certificate for one in store.additional_certs]))


def _ordered(own: x509.Certificate, others: list[x509.Certificate]) -> list[x509.Certificate]:
    """``own``, its issuer, and so on: a key store keeps them in no order."""
    chain = [own]
    while (issuer := next((one for one in others if one.subject == chain[-1].issuer and one not in chain), None)) is not None:
        chain.append(issuer)
    return chain


def _verify_clients(context: ssl.SSLContext, files: CertificateFiles) -> None:
    if files.client_auth == "none":
        return
    trusted = b"".join(one.public_bytes(serialization.Encoding.DER) for one in load_trusted(files))
    context.load_verify_locations(cadata=trusted)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # what the file names is trusted, be it a root or not
    context.verify_mode = _VERIFYING[files.client_auth]


def _certificates(files: CertificateFiles, path: str, name: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(files, path, name))
    except ValueError:
        raise SettingsError(f"{path} is not a certificate in PEM", name=name) from None


def _read(files: CertificateFiles, path: str, name: str) -> bytes:
    if path in files.contents:
        return files.contents[path]
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as problem:
        raise SettingsError(f"{path}: {problem.strerror}", name=name) from None
    if len(data) > MAX_FILE_BYTES:
        raise SettingsError(f"{path} is too large to be what it should be", name=name)
    return data


@contextmanager
def _in_memory(identity: Identity) -> Iterator[str]:
    """A path at which OpenSSL finds key and chain, in memory: it takes them from files only."""
    pem = [one.public_bytes(serialization.Encoding.PEM) for one in identity.chain]
    key = identity.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with os.fdopen(os.memfd_create("tls", os.MFD_CLOEXEC), "wb", buffering=0) as file:
        file.write(b"".join([key, *pem]))
        yield f"/proc/self/fd/{file.fileno()}"
