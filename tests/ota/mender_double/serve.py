"""The double over TLS on loopback; `python -m tests.ota.mender_double.serve` keeps it running."""

import argparse
import datetime
import ipaddress
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.ota.mender_double.app import make_app
from tests.ota.mender_double.state import Mender

USER, PASSWORD = "operator@example.org", "a password of the double"
START_S = 30.0


@dataclass
class Clock:
    """Wall time, and as much more as a test wants to have passed."""

    ahead_s: float = 0.0

    def now(self) -> float:
        return time.time() + self.ahead_s


@dataclass
class Served:
    url: str
    certificate: Path  # self-signed: also the authority to trust
    user: str
    password: str
    mender: Mender
    clock: Clock = field(default_factory=Clock)

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))


@contextmanager
def serve(folder: Path, host: str = "127.0.0.1", port: int = 0) -> Iterator[Served]:
    certificate, key = _certify(folder, host)
    clock = Clock()
    mender = Mender(folder, clock.now, USER, PASSWORD)
    listener = socket.create_server((host, port))
    config = uvicorn.Config(
        make_app(mender),
        ssl_certfile=str(certificate),
        ssl_keyfile=str(key),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    waited_s = 0.0
    while not server.started and waited_s < START_S:
        time.sleep(0.02)
        waited_s += 0.02
    port = listener.getsockname()[1]
    try:
        yield Served(f"https://{host}:{port}", certificate, USER, PASSWORD, mender, clock)
    finally:
        server.should_exit = True
        thread.join(START_S)
        listener.close()


def _certify(folder: Path, host: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mender double")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(host))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "server.crt", folder / "server.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description="A test double of the Mender server")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8444)
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="mender-double-") as name,
        serve(Path(name), args.host, args.port) as served,
    ):
        print(f"{served.url}  trust {served.certificate}")
        print(f"user {served.user}  password {served.password}", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
