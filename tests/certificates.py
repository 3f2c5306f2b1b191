"""Certificates for tests: an authority, and what it issues, as the files that a daemon and its clients read."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, pkcs12
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)
_ADDRESSES = [x509.IPAddress(ipaddress.ip_address(f"127.0.0.{number}")) for number in (1, 2, 3)]
LOCALHOST = x509.SubjectAlternativeName([x509.DNSName("localhost"), *_ADDRESSES])


class Issued:
    """A key and its certificate, and the certificates between it and the authority."""

    def __init__(self, key: Any, certificate: x509.Certificate, chain: tuple[x509.Certificate, ...] = ()) -> None:
        self.key, self.certificate, self.chain = key, certificate, chain

    @property
    def serial(self) -> int:
        """What tells it from any other."""
        return self.certificate.serial_number

    def certificate_file(self, path: Path) -> Path:
        """It and its chain, PEM."""
        path.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in (self.certificate, *self.chain)))
        return path

    def key_file(self, path: Path, password: str = "") -> Path:
        """Its key, PEM, encrypted if there is a password."""
        encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        path.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        return path

    def both_file(self, path: Path) -> Path:
        """Key and certificates in one file, as Python's clients take it."""
        key = self.key_file(path).read_bytes()
        path.write_bytes(key + self.certificate_file(path).read_bytes())
        return path

    def keystore(self, path: Path, password: str) -> Path:
        """All of it in PKCS12, the chain turned round."""
        encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        path.write_bytes(pkcs12.serialize_key_and_certificates(b"s3", self.key, self.certificate, list(reversed(self.chain)), encryption))
        return path


class Authority(Issued):
    """Whom to trust. ``between`` makes one that this one vouches for."""

    def __init__(self, name: str = "tests", parent: Authority | None = None) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = parent or self
        self.key = key
        subject = _name(name)
        built = (
            _dated(x509.CertificateBuilder(), -DAY, DAY * 90)
            .subject_name(subject)
            .issuer_name(subject if parent is None else parent.certificate.subject)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(issuer.key, hashes.SHA256())
        )
        super().__init__(key, built, () if parent is None else parent.chain)

    def between(self, name: str) -> Authority:
        """An authority that this one vouches for."""
        made = Authority(name, self)
        made.chain = (made.certificate, *made.chain)
        return made

    def issue(self, name: str = "localhost", *, begins: dt.timedelta = -DAY, ends: dt.timedelta = DAY * 60) -> Issued:
        """A certificate for this machine, or for a client of that name, valid between two moments seen from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _dated(x509.CertificateBuilder(), begins, ends)
            .subject_name(_name(name))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .add_extension(LOCALHOST, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return Issued(key, certificate, self.chain)


def _dated(builder: x509.CertificateBuilder, begins: dt.timedelta, ends: dt.timedelta) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now + begins).not_valid_after(now + ends)


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
