"""Keys that artifacts are signed with: ECDSA on P-256, which the robot's client knows how to check.

Signatures follow RFC 6979: the same key and text give the same signature, so that the same inputs
give the same artifact. The private key is written the way `mender-artifact` reads it too.
"""

import base64
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from ota.refusal import refused

HALF_BYTES = 32
SIGNING = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


def make_keys(private: Path, public: Path) -> None:
    """A pair that was not there before; a key that is there is never written over."""
    for path in (private, public):
        if path.exists():
            raise refused(
                path,
                "a file that is there already",
                "robots that trust a key which is lost can be updated by nobody",
                "another --out, or move the old pair away yourself",
            )
    key = ec.generate_private_key(ec.SECP256R1())
    private.parent.mkdir(parents=True, exist_ok=True)
    public.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
    public.write_bytes(public_pem(key))


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def read_private(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise refused(
            path,
            f"no private key ({error})",
            "an artifact that is not signed is refused by every robot",
            "bedplate ota keys make --out FOLDER",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise refused(
            path,
            f"a {type(key).__name__}",
            "robots check ECDSA on P-256",
            "bedplate ota keys make --out FOLDER",
        )
    return key


def read_public(path: Path) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise refused(
            path, f"no public key ({error})", "nothing can be checked without it", "its right path"
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise refused(
            path, f"a {type(key).__name__}", "artifacts are signed by ECDSA on P-256", "its pair"
        )
    return key


def sign(message: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """As the artifact holds it: both numbers in 32 bytes each, in base64."""
    r, s = decode_dss_signature(key.sign(message, SIGNING))
    return base64.b64encode(r.to_bytes(HALF_BYTES, "big") + s.to_bytes(HALF_BYTES, "big"))


def is_signed_by(message: bytes, signature: bytes, key: ec.EllipticCurvePublicKey) -> bool:
    try:
        raw = base64.b64decode(signature, validate=True)
    except ValueError:
        return False
    if len(raw) != 2 * HALF_BYTES:
        return False
    r, s = (int.from_bytes(half, "big") for half in (raw[:HALF_BYTES], raw[HALF_BYTES:]))
    try:
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True
