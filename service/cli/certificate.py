"""The certificate of a service that ends TLS itself.  Each new one is checked before it is used.

The HTTP server reads the files whenever it starts a worker.  It gets copies that were checked.  So
a renewal that failed or is half done never reaches a worker, and the service goes on with the
previous certificate.
"""

import os
import shutil
import ssl
import tempfile
from pathlib import Path

from service.kernel.log import log


class BadCertificateError(Exception):
    """The files are not a certificate and its key.  One line says why and shows no part of them."""


class Certificate:
    """A certificate chain and its key (PEM files), and the checked copies that are in use."""

    def __init__(self, cert: Path, key: Path) -> None:
        """Check the files and make the first copies.  BadCertificateError."""
        self._given = (cert, key)
        self._folder = Path(tempfile.mkdtemp(prefix="tesserra-tls-"))
        self.cert, self.key = self._folder / "cert.pem", self._folder / "key.pem"
        try:
            self._take()
        except BadCertificateError:
            self.forget()
            raise

    def renew(self) -> None:
        """Copy the present files.  When they cannot be used, log that and keep the old copies."""
        try:
            self._take()
        except BadCertificateError as exc:
            log().error("the certificate is not renewed", error=str(exc))

    def forget(self) -> None:
        """Remove the copies."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _take(self) -> None:
        aside = (self._folder / "cert.new", self._folder / "key.new")
        try:
            for given, copy in zip(self._given, aside, strict=True):
                text = given.read_bytes()
                with os.fdopen(
                    os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb"
                ) as f:
                    f.write(text)
            # Refuse an encrypted key; do not ask for its passphrase.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*aside, password="")
        except ssl.SSLError:
            raise BadCertificateError("no certificate and its key") from None
        except OSError as exc:
            raise BadCertificateError(f"{exc.strerror}") from None
        if b"-----BEGIN PRIVATE KEY-----" not in aside[1].read_bytes():
            raise BadCertificateError("the key is not PKCS#8: `openssl pkcs8 -topk8 -nocrypt`")
        for copy, served in zip(aside, (self.cert, self.key), strict=True):
            copy.replace(served)
