"""Debian's own mender-client, in a mount namespace of its own, against a server that is named."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

DEVICE_TYPE = "qemu_arm64"
# A guard against a hang, not a promise: the client pauses a second between questions.
PATIENCE_S = 90.0
# What the client looks at lies in fixed places; here each is a folder of the test's. Debian makes
# /var/lib/mender a link to /data/mender, so the folder above it is taken.
ENTER = """
set -e
mount --bind "$1/share" /usr/share/mender
mount --bind "$1/varlib" /var/lib
mount --bind "$1/etc" /etc/mender
shift
exec "$@"
"""
MODULE = """#!/bin/sh
echo "$1" >> "{log}"
case "$1" in
  NeedsArtifactReboot) echo No ;;
  SupportsRollback) echo Yes ;;
  ArtifactInstall) while [ -e "{hold}" ]; do sleep 0.1; done ;;
esac
exit 0
"""


def why_not() -> str:
    """The reason why the real client cannot be run here, or nothing."""
    if shutil.which("mender") is None:
        return "no mender-client here: apt-get install mender-client"
    if not Path("/etc/mender").is_dir():
        return "mender-client is not installed whole: /etc/mender is missing"
    tried = subprocess.run([*_namespace(), "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "this machine lends no mount namespace"


def _namespace() -> list[str]:
    own = ["unshare", "--mount"]
    return own if os.geteuid() == 0 else [*own, "--user", "--map-root-user"]


@dataclass
class Client:
    """Its folders: `share` scripts and modules, `varlib` key and database, `etc` configuration."""

    folder: Path
    identity: dict[str, str]
    key: ec.EllipticCurvePrivateKey

    @property
    def hold(self) -> Path:
        """While this file is there an installation waits."""
        return self.folder / "hold"

    def module_calls(self) -> list[str]:
        log = self.folder / "module.log"
        return log.read_text().split() if log.exists() else []

    def installed(self) -> str:
        return self.run("show-artifact").stdout.split()[-1]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(*words), capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )

    def _command(self, *words: str) -> list[str]:
        shell = ["sh", "-c", ENTER, "sh", str(self.folder), "mender", "--no-syslog", *words]
        return [*_namespace(), *shell]

    @contextmanager
    def daemon(self) -> Iterator["Client"]:
        log = (self.folder / "daemon.log").open("ab")
        process = subprocess.Popen(
            self._command("--log-level", "debug", "daemon"), stdout=log, stderr=log
        )
        try:
            yield self
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE_S)
            log.close()

    def told(self) -> str:
        return (self.folder / "daemon.log").read_text(errors="replace")


def make_client(
    folder: Path, url: str, certificate: Path, identity: dict[str, str], artifact: str
) -> Client:
    share, lib, etc = (folder / name for name in ("share", "varlib/mender", "etc"))
    for path in (share / "identity", share / "inventory", share / "modules" / "v3", lib, etc):
        path.mkdir(parents=True)
    client = Client(folder, identity, ec.generate_private_key(ec.SECP256R1()))
    lines = "".join(f"echo {key}={value}\n" for key, value in identity.items())
    _script(share / "identity" / "mender-device-identity", f"#!/bin/sh\n{lines}")
    module = MODULE.format(log=folder / "module.log", hold=client.hold)
    _script(share / "modules" / "v3" / "bedplate-double", module)
    pem = client.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    key = folder / "mender.key"  # where enrolment puts it, not where the client would make one
    key.write_bytes(pem)
    key.chmod(0o600)
    (lib / "device_type").write_text(f"device_type={DEVICE_TYPE}\n")
    (etc / "artifact_info").write_text(f"artifact_name={artifact}\n")
    (etc / "mender.conf").write_text(json.dumps(_settings(url, certificate, key)))
    return client


def _settings(url: str, certificate: Path, key: Path) -> dict[str, Any]:
    return {
        "ServerURL": url,
        "ServerCertificate": str(certificate),
        "UpdatePollIntervalSeconds": 1,
        "InventoryPollIntervalSeconds": 2,
        "RetryPollIntervalSeconds": 1,
        "DBus": {"Enabled": False},
        "Security": {"AuthPrivateKey": str(key)},
    }


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True
