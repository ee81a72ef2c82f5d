"""Tokens as the server hands them out: a JWT, opaque to whoever carries it."""

import base64
import hashlib
import hmac
import json
import secrets
from typing import Any

SECRET = secrets.token_bytes(32)
DEVICE_LIFE_S = 7 * 86_400
USER_LIFE_S = 7 * 86_400


def make_token(subject: str, kind: str, now: float, life_s: float) -> str:
    claims = {
        "jti": secrets.token_hex(16),
        "sub": subject,
        "iss": "Mender",
        "exp": int(now + life_s),
        f"mender.{kind}": True,
    }
    body = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
    return f"{body}.{_base64(hmac.digest(SECRET, body.encode(), hashlib.sha256))}"


def _part(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
