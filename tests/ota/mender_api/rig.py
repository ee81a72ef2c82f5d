"""A console and devices by hand-made requests: the server is tested here, not our client."""

import base64
import json
import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from tests.ota.mender_double.artifact_file import make_artifact

DEVICES = "/api/devices/v1"
V1 = "/api/management/v1"
V2 = "/api/management/v2"
DEPLOYMENTS = f"{V1}/deployments/deployments"
ARTIFACTS = f"{V1}/deployments/artifacts"
NEXT = f"{DEVICES}/deployments/device/deployments/next"
UNKNOWN = "5a8f0d84-0000-4000-8000-000000000000"
# A real server passes some news from one of its services to the next in its own time.
PATIENCE_S = 20.0

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def unique(word: str) -> str:
    return f"{word}-{secrets.token_hex(6)}"


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def pem_of(key: Key) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def sign(key: Key, body: bytes) -> str:
    match key:
        case rsa.RSAPrivateKey():
            raw = key.sign(body, padding.PKCS1v15(), hashes.SHA256())
        case ec.EllipticCurvePrivateKey():
            raw = key.sign(body, ec.ECDSA(hashes.SHA256()))
        case _:
            raw = key.sign(body)
    return base64.b64encode(raw).decode()


@dataclass
class Device:
    """A robot as the server sees it, without a robot."""

    http: httpx.Client
    identity: dict[str, Any]
    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    device_type: str = "qemu_arm64"
    id: str = ""
    token: str = ""

    def question(self, **changes: Any) -> bytes:
        body = {"id_data": json.dumps(self.identity), "pubkey": pem_of(self.key), **changes}
        return json.dumps({k: v for k, v in body.items() if v is not None}).encode()

    def ask(self, body: bytes | None = None, signature: str | None = None) -> httpx.Response:
        body = self.question() if body is None else body
        signature = sign(self.key, body) if signature is None else signature
        headers = {"Content-Type": "application/json"}
        if signature:
            headers["X-MEN-Signature"] = signature
        reply = self.http.post(
            f"{DEVICES}/authentication/auth_requests", content=body, headers=headers
        )
        if reply.status_code == 200:
            self.token = reply.text
        return reply

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return self.http.request(method, path, headers=headers, **options)

    def poll(self, artifact_name: str = "before", **provides: str) -> httpx.Response:
        told = {"artifact_name": artifact_name, "device_type": self.device_type, **provides}
        return self.call("POST", NEXT, json=told)

    def report(self, deployment: str, status: str, **more: Any) -> int:
        path = f"{DEVICES}/deployments/device/deployments/{deployment}/status"
        return self.call("PUT", path, json={"status": status, **more}).status_code

    def send_log(self, deployment: str, message: str = "it broke") -> int:
        path = f"{DEVICES}/deployments/device/deployments/{deployment}/log"
        row = {"timestamp": "2026-08-22T10:00:00Z", "level": "error", "message": message}
        return self.call("PUT", path, json={"messages": [row]}).status_code

    def tell(self, method: str, *attributes: dict[str, Any]) -> int:
        path = f"{DEVICES}/inventory/device/attributes"
        return self.call(method, path, json=list(attributes)).status_code


@dataclass
class Console:
    """What an operator does, request by request."""

    http: httpx.Client
    token: str
    created: list[str] = field(default_factory=list)

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return self.http.request(method, path, headers=headers, **options)

    def json(self, method: str, path: str, **options: Any) -> Any:
        reply = self.call(method, path, **options)
        assert reply.status_code in (200, 201), (method, path, reply.status_code, reply.text)
        return reply.json()

    def device(self, *, accepted: bool = True, **changes: Any) -> Device:
        device = Device(self.http, {"serial": unique("robot")}, **changes)
        assert device.ask().status_code == 401
        device.id = self.find(device.identity)["id"]
        if accepted:
            self.accept(device)
        return device

    def accept(self, device: Device) -> None:
        assert self.decide(device, "accepted") == 204
        assert device.ask().status_code == 200
        assert eventually(lambda: self._has_status(device, "accepted"))

    def _has_status(self, device: Device, status: str) -> bool:
        attributes = self.search(device.id)
        return {"status": status}.items() <= attributes.items()

    def find(self, identity: dict[str, Any]) -> dict[str, Any]:
        page = 1
        while rows := self.json("GET", f"{V2}/devauth/devices?per_page=500&page={page}"):
            for row in rows:
                if (row["identity_data"] or {}) == identity:
                    return row
            page += 1
        raise AssertionError(f"no device {identity}")

    def row(self, device: Device) -> dict[str, Any]:
        return self.json("GET", f"{V2}/devauth/devices/{device.id}")

    def decide(self, device: Device, status: str, key: Key | None = None) -> int:
        wanted = pem_of(key or device.key).strip()
        auth = next(a for a in self.row(device)["auth_sets"] if a["pubkey"].strip() == wanted)
        path = f"{V2}/devauth/devices/{device.id}/auth/{auth['id']}/status"
        return self.call("PUT", path, json={"status": status}).status_code

    def search(self, device_id: str, scope: str = "identity") -> dict[str, Any]:
        rows = self.json("POST", f"{V2}/inventory/filters/search", json={"device_ids": [device_id]})
        found = [a for row in rows for a in row["attributes"] or [] if a["scope"] == scope]
        return {a["name"]: a["value"] for a in found}

    def upload(self, name: str, device_type: str = "qemu_arm64", **options: Any) -> httpx.Response:
        data = make_artifact(name, device_type, **options)
        return self.call(
            "POST", ARTIFACTS, data={"description": "x"}, files={"artifact": ("a.mender", data)}
        )

    def artifact(self, device_type: str = "qemu_arm64", **options: Any) -> str:
        name = unique("release")
        assert self.upload(name, device_type, **options).status_code == 201
        return name

    def create(self, *ids: str, **body: Any) -> httpx.Response:
        wish: dict[str, Any] = {"name": unique("deployment"), **body}
        if ids:
            wish["devices"] = list(ids)
        return self.call("POST", DEPLOYMENTS, json=wish)

    def deploy(self, artifact_name: str, *devices: Device, **body: Any) -> str:
        reply = self.create(*(d.id for d in devices), artifact_name=artifact_name, **body)
        assert reply.status_code == 201, reply.text
        return identifier(reply)

    def deployment(self, identifier: str) -> dict[str, Any]:
        return self.json("GET", f"{DEPLOYMENTS}/{identifier}")

    def statistics(self, identifier: str) -> dict[str, int]:
        return self.json("GET", f"{DEPLOYMENTS}/{identifier}/statistics")

    def shown(self, identifier: str) -> dict[str, str]:
        rows = self.json("GET", f"{DEPLOYMENTS}/{identifier}/devices/list?per_page=500")
        return {row["id"]: row["status"] for row in rows}

    def abort(self, identifier: str, status: str = "aborted") -> int:
        path = f"{DEPLOYMENTS}/{identifier}/status"
        return self.call("PUT", path, json={"status": status}).status_code


def identifier(reply: httpx.Response) -> str:
    return reply.headers["location"].rsplit("/", 1)[-1]


def connect(url: str, trust: ssl.SSLContext | bool, user: str, password: str) -> Console:
    http = httpx.Client(base_url=url, verify=trust, timeout=60.0, trust_env=False)
    reply = http.post(f"{V1}/useradm/auth/login", auth=(user, password))
    assert reply.status_code == 200, f"{url} does not let {user} in: {reply.status_code}"
    return Console(http, reply.text)
