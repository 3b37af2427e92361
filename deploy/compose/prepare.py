"""What compose.yaml's other containers find ready: secrets, PostgreSQL's roles, nginx's files.

Run once before the rest, each time.  Secrets and the certificate are made once and stay, in named
volumes: replace them (the certificate above all) by your own.  nginx's other files are made anew.
"""

import base64
import os
import secrets
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

_SERVICE_USER = 65532
_NGINX = """\
worker_processes auto;
error_log /dev/stderr warn;
pid /tmp/nginx.pid;
events { worker_connections 4096; }
http {
    access_log off;
    include tesserra-auth-http.conf;
    include tesserra-auth.conf;
}
"""


def main(root: Path, source: Path, domain: str) -> None:
    """Fill `root`/secrets, what only the schema's owner may know, `root`/initdb, `root`/nginx."""
    folder, owners, initdb, nginx = (root / n for n in ("secrets", "owner", "initdb", "nginx"))
    for one in (folder, owners, initdb, nginx):
        one.mkdir(exist_ok=True)
    owner, service = (
        _once(owners / name, lambda: secrets.token_urlsafe(32)) for name in ("password", "service")
    )
    _once(folder / "master.keys", lambda: base64.urlsafe_b64encode(os.urandom(32)).decode())
    base = "@postgres:5432/tesserra"
    _once(owners / "owner.url", lambda: f"postgresql://tesserra_owner:{owner}{base}")
    _once(folder / "database.url", lambda: f"postgresql://tesserra_auth:{service}{base}")
    _once(folder / "redis.url", lambda: "redis://redis:6379/0")
    for path in (*folder.iterdir(), owners / "owner.url"):
        os.chown(path, _SERVICE_USER, _SERVICE_USER)
        path.chmod(0o400)
    (owners / "password").chmod(0o444)  # PostgreSQL reads it as a user of its image's choosing
    (initdb / "10-service-role.sql").write_text(
        f"CREATE ROLE tesserra_auth LOGIN PASSWORD '{service}';\n"
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC;\n"
    )
    _nginx(nginx, source, domain)
    print(f"ready: https://{domain}")  # noqa: T201


def _once(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        aside = path.with_suffix(".new")  # whole or not at all: an empty secret would stay
        aside.unlink(missing_ok=True)
        aside.touch(0o400)
        aside.write_text(make() + "\n")
        aside.rename(path)
    return path.read_text().strip()


def _nginx(folder: Path, source: Path, domain: str) -> None:
    shutil.copytree(source, folder, dirs_exist_ok=True)
    here = {
        "${TESSERRA_DOMAIN}": domain,
        "${TESSERRA_ORIGIN}": f"https://{domain}",
        f"/etc/letsencrypt/live/{domain}": "/etc/tesserra-nginx/tls",
        "/var/log/nginx/tesserra-auth.log": "/dev/stdout",
        "/var/log/nginx/tesserra-auth-error.log": "/dev/stderr",
        "server 127.0.0.1:8080": "server auth:8080",
    }
    for path in folder.rglob("*.conf"):
        text = path.read_text()
        for old, new in here.items():
            text = text.replace(old, new)
        path.write_text(text)
    (folder / "nginx.conf").write_text(_NGINX)
    _certificate(folder / "tls", domain)


def _certificate(folder: Path, domain: str) -> None:
    """Make a certificate nobody trusts, so that nginx starts; put a real one in its place."""
    if (folder / "fullchain.pem").exists():
        return
    from cryptography import x509  # noqa: PLC0415 - the first time only
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    folder.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, domain)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "privkey.pem").touch(0o600)
    (folder / "privkey.pem").write_bytes(private)
    (folder / "fullchain.pem").write_bytes(made.public_bytes(Encoding.PEM))


if __name__ == "__main__":
    if not os.environ.get("TESSERRA_DOMAIN"):
        sys.exit("prepare: TESSERRA_DOMAIN is not set: the name people reach this under")
    main(
        Path(os.environ.get("TESSERRA_ROOT", "/run/tesserra")),
        Path(__file__).resolve().parents[1] / "nginx",
        os.environ["TESSERRA_DOMAIN"],
    )
