"""TLS between workers, with the certificate of the HTTPS port at both ends: each takes only those for which the same authority vouches."""

from __future__ import annotations

import ssl
from typing import Any

from attrs import evolve
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL.crypto import X509
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS, trustRootFromCertificates
from twisted.logger import Logger

from alluxio_s3.http.certificates import Certificates, Identity, load, load_identity, load_trusted
from alluxio_s3.settings import SettingsError


class MutualTls:
    """``certificates`` as two workers use them; when they are read anew, so are these. Raises SettingsError."""

    _log = Logger()

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        self._seen: object = None
        self._renew()

    @property
    def context(self) -> ssl.SSLContext:
        """For who is asked: it wants a certificate of whoever asks."""
        self._look()
        return self._context

    def towards(self, host: str) -> Any:
        """For who asks: Twisted's options for a connection to ``host``, whose certificate must be for that name or address."""
        self._look()
        return optionsForClientTLS(host, self._trusted, self._own, extraCertificateOptions={"extraCertChain": self._chain})

    def _look(self) -> None:
        if self._certificates.context is self._seen:
            return
        try:
            self._renew()
        except SettingsError as problem:
            self._log.error("{problem}; workers go on with the certificate that was there before", problem=problem)

    def _renew(self) -> None:
        self._seen = self._certificates.context
        files = evolve(self._certificates.files, client_auth="required")
        identity = load_identity(files)
        self._context, _ = load(files)
        self._own = PrivateCertificate.loadPEM(_pem(identity))
        self._chain = [X509.from_cryptography(one) for one in identity.chain[1:]]
        self._trusted = trustRootFromCertificates([Certificate.loadPEM(one.public_bytes(Encoding.PEM)) for one in load_trusted(files)])


def _pem(identity: Identity) -> bytes:
    key = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return bytes(key) + identity.chain[0].public_bytes(Encoding.PEM)
