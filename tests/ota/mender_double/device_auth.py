"""Who is a device of this server: its own question, and the operator's decisions (devauth v2)."""

import base64
import binascii
import json
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.ota.mender_double.deployments import decommission_in_deployments
from tests.ota.mender_double.replies import (
    Refused,
    created,
    cut,
    empty,
    json_body,
    page_of,
    uncounted,
)
from tests.ota.mender_double.state import AuthSet, AuthStatus, Device, Mender, new_id, stamp
from tests.ota.mender_double.tokens import DEVICE_LIFE_S, make_token

UNAUTHORIZED = "dev auth: unauthorized"
SETTABLE = {AuthStatus.PENDING, AuthStatus.ACCEPTED, AuthStatus.REJECTED}


class DeviceAuth:
    def __init__(self, mender: Mender) -> None:
        self.mender = mender

    async def ask(self, request: Request) -> Response:
        """A device's own question. Whoever it is, until it is accepted the answer is the same."""
        raw = await request.body()
        signature = request.headers.get("x-men-signature", "")
        if not signature:
            raise Refused(400, "missing request signature header")
        identity, pubkey = _question(raw)
        key = _public_key(pubkey)
        if not _is_signed(key, signature, raw):
            raise Refused(401, "signature verification failed")
        device = self._device(identity)
        auth = self._auth_set(device, _pem(key))
        if auth.status is AuthStatus.PREAUTHORIZED:
            self._set(device, auth, AuthStatus.ACCEPTED)
        if auth.status is not AuthStatus.ACCEPTED:
            raise Refused(401, UNAUTHORIZED)
        token = make_token(device.id, "device", self.mender.now(), DEVICE_LIFE_S)
        auth.tokens.add(token)
        return Response(token, media_type="application/jwt")

    def _device(self, identity: dict[str, Any]) -> Device:
        known = self._find(identity)
        if known is not None:
            return known
        now = self.mender.now()
        device = Device(new_id(), identity, now, now)
        self.mender.devices[device.id] = device
        return device

    def _find(self, identity: dict[str, Any]) -> Device | None:
        return next((d for d in self.mender.devices.values() if d.identity == identity), None)

    def _auth_set(self, device: Device, pubkey: str) -> AuthSet:
        known = next((auth for auth in device.auth_sets if auth.pubkey == pubkey), None)
        if known is not None:
            return known
        auth = AuthSet(new_id(), pubkey, AuthStatus.PENDING, self.mender.now())
        device.auth_sets.append(auth)
        return auth

    def _set(self, device: Device, auth: AuthSet, status: AuthStatus) -> None:
        if status is AuthStatus.ACCEPTED:
            for other in device.auth_sets:
                if other is not auth and other.status in (
                    AuthStatus.ACCEPTED,
                    AuthStatus.PREAUTHORIZED,
                ):
                    other.status = AuthStatus.REJECTED
                    other.tokens.clear()
        else:
            auth.tokens.clear()
        auth.status = status
        device.updated = self.mender.now()

    async def list_all(self, request: Request) -> Response:
        page, per_page = page_of(request)
        status = request.query_params.get("status")
        if status is not None and status not in set(AuthStatus):
            raise Refused(400, f"status: must be a valid value, got {status!r}")
        ids = request.query_params.getlist("id")
        rows = [
            device
            for device in self.mender.devices.values()
            if (status is None or device.status == status) and (not ids or device.id in ids)
        ]
        shown = cut(rows, page, per_page)
        headers = uncounted(request, len(shown), page, per_page)
        return JSONResponse([_row(device) for device in shown], headers=headers)

    async def count(self, request: Request) -> Response:
        status = request.query_params.get("status")
        if status is not None and status not in set(AuthStatus):
            raise Refused(400, "status must be one of: pending, accepted, rejected, preauthorized")
        rows = [d for d in self.mender.devices.values() if status is None or d.status == status]
        return JSONResponse({"count": len(rows)})

    async def get(self, request: Request) -> Response:
        return JSONResponse(_row(self._known(request)))

    async def preauthorize(self, request: Request) -> Response:
        body = await json_body(request)
        if not isinstance(body, dict) or not isinstance(body.get("identity_data"), dict):
            raise Refused(400, "identity_data: cannot be blank")
        if not body["identity_data"] or not isinstance(body.get("pubkey"), str):
            raise Refused(400, "pubkey: cannot be blank")
        force = body.get("force", False)
        if not isinstance(force, bool):
            raise Refused(400, "force: must be a boolean")
        pubkey = _pem(_public_key(body["pubkey"]))
        known = self._find(body["identity_data"])
        if known is not None and not force:
            return JSONResponse(_row(known), 409)
        device = known or self._device(body["identity_data"])
        self._auth_set(device, pubkey).status = AuthStatus.PREAUTHORIZED
        return created(f"devices/{device.id}")

    async def decommission(self, request: Request) -> Response:
        device = self._known(request)
        decommission_in_deployments(self.mender, device.id)
        del self.mender.devices[device.id]
        return empty()

    async def get_status(self, request: Request) -> Response:
        device = self._known(request)
        auth = next((a for a in device.auth_sets if a.id == request.path_params["aid"]), None)
        if auth is None:
            raise Refused(404, "authorization set not found")
        return JSONResponse({"status": auth.status})

    async def put_status(self, request: Request) -> Response:
        body = await json_body(request)
        status = body.get("status") if isinstance(body, dict) else None
        if not isinstance(status, str) or status not in SETTABLE:
            raise Refused(400, "incorrect device status")
        owner = next(
            (
                (device, auth)
                for device in self.mender.devices.values()
                for auth in device.auth_sets
                if auth.id == request.path_params["aid"]
            ),
            None,
        )
        if owner is None:
            raise Refused(404, "authorization set not found")
        if owner[0].id != request.path_params["id"]:
            raise Refused(400, "dev auth: dev ID and auth ID mismatch")
        self._set(*owner, AuthStatus(status))
        return empty()

    def _known(self, request: Request) -> Device:
        device = self.mender.devices.get(request.path_params["id"])
        if device is None:
            raise Refused(404, "device not found")
        return device


def _question(raw: bytes) -> tuple[dict[str, Any], str]:
    try:
        body = json.loads(raw)
        identity, pubkey = json.loads(body["id_data"]), body["pubkey"]
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise Refused(400, f"invalid auth request: {problem}") from problem
    if not isinstance(identity, dict) or not isinstance(pubkey, str):
        raise Refused(400, "invalid auth request: id_data must be an object, as a JSON string")
    return identity, pubkey


Key = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


def _public_key(pem: str) -> Key:
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm, UnicodeEncodeError) as problem:
        raise Refused(400, "invalid auth request: cannot decode public key") from problem
    if not isinstance(key, Key):
        raise Refused(400, "invalid auth request: unsupported public key type")
    return key


def _pem(key: Key) -> str:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def _is_signed(key: Key, signature: str, raw: bytes) -> bool:
    try:
        taken = base64.b64decode(signature, validate=True)
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(taken, raw, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(taken, raw, ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(taken, raw)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _row(device: Device) -> dict[str, Any]:
    identity = device.identity or None
    return {
        "id": device.id,
        "identity_data": identity,
        "status": device.status,
        "created_ts": stamp(device.created),
        "updated_ts": stamp(device.updated),
        "auth_sets": [
            {
                "id": auth.id,
                "identity_data": device.identity,
                "pubkey": auth.pubkey,
                "status": auth.status,
                "ts": stamp(auth.ts),
            }
            for auth in device.auth_sets
        ],
        "decommissioning": False,
    }
