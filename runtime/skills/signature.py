"""The canonical file list of a skill and its ed25519 signature.

`files.json` names every other file with size and sha256, in canonical JSON; `files.sig` signs it.
The digest of `files.json` is therefore the identity of the whole folder.
"""

import hashlib
from pathlib import Path
from typing import Annotated

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime.skills.refusal import RefusalReason, refuse

LIST_FILE = "files.json"
SIGNATURE_FILE = "files.sig"
MAX_FILES = 32
MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_LIST_BYTES = 16 * 1024
# Signed bytes carry their purpose: a signature made over anything else never fits a skill.
_DOMAIN = b"bedplate-skill-v1\n"


class ListedFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]


# Flat names only: without separators and leading dots no path can leave the folder.
FileName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,39}\.[a-z]{1,8}$")]


class FileList(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    files: Annotated[dict[FileName, ListedFile], Field(min_length=1, max_length=MAX_FILES)]

    def canonical(self) -> bytes:
        return orjson.dumps(self.model_dump(), option=orjson.OPT_SORT_KEYS)


def digest_of(list_bytes: bytes) -> str:
    return hashlib.sha256(list_bytes).hexdigest()


def skill_hash_of(digest: str) -> int:
    """The 64 bits that `goal.skill_hash` carries; 0 stands for the profile's default skill."""
    return int(digest[:16], 16) or 1


def list_folder(folder: Path) -> FileList:
    """The list of what lies in `folder` now; used when packing."""
    names = sorted(
        path.name for path in folder.iterdir() if path.name not in {LIST_FILE, SIGNATURE_FILE}
    )
    files = {}
    for name in names:
        content = (folder / name).read_bytes()
        files[name] = ListedFile(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    return FileList(files=files)


def sign_folder(folder: Path, key: Ed25519PrivateKey) -> str:
    """Write list and signature into `folder`; return the digest."""
    content = list_folder(folder).canonical()
    (folder / LIST_FILE).write_bytes(content)
    (folder / SIGNATURE_FILE).write_bytes(key.sign(_DOMAIN + content).hex().encode() + b"\n")
    return digest_of(content)


def parse_list(content: bytes, where: Path) -> FileList:
    """Accept one spelling only, so that one folder has one digest."""
    try:
        listed = FileList.model_validate(orjson.loads(content))
    except (orjson.JSONDecodeError, ValidationError) as error:
        problem = str(error).splitlines()
        raise refuse(
            RefusalReason.LIST_MALFORMED,
            where,
            got=" ".join(problem[:3]),
            allowed="canonical JSON naming each file with sha256 and size, flat names only",
            attempt="pack the skill again with bedplate skills pack",
        ) from error
    if listed.canonical() != content:
        raise refuse(
            RefusalReason.LIST_MALFORMED,
            where,
            got="another spelling of the list",
            allowed="sorted, compact JSON without duplicates",
            attempt="pack the skill again with bedplate skills pack",
        )
    return listed


def verify_signature(
    content: bytes, signature: bytes, keys: tuple[Ed25519PublicKey, ...], where: Path
) -> None:
    if not keys:
        raise refuse(
            RefusalReason.KEY_UNKNOWN,
            where,
            got="no trusted key on this robot",
            allowed="a signature by a key in its key folder",
            attempt="put the publisher's public key (PEM) into <data-dir>/pki/skills/",
        )
    try:
        raw = bytes.fromhex(signature.decode("ascii").strip())
    except ValueError:
        raw = b""
    for key in keys:
        try:
            key.verify(raw, _DOMAIN + content)
        except InvalidSignature:
            continue
        return
    raise refuse(
        RefusalReason.SIGNATURE_WRONG,
        where,
        got=f"a signature of {len(raw)} bytes that none of {len(keys)} trusted keys made",
        allowed="an ed25519 signature over this file list by a trusted key",
        attempt="fetch the skill again; if it stays so, ask its publisher",
    )


def load_trusted_keys(folder: Path) -> tuple[Ed25519PublicKey, ...]:
    """Every readable ed25519 public key in `folder`; others are no keys and are passed over."""
    keys: list[Ed25519PublicKey] = []
    for path in sorted(folder.glob("*.pem")) if folder.is_dir() else []:
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except (ValueError, OSError):
            continue
        if isinstance(key, Ed25519PublicKey):
            keys.append(key)
    return tuple(keys)


def load_private_key(path: Path) -> Ed25519PrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{path}: got a {type(key).__name__}, need an ed25519 private key")
    return key


def write_key_pair(private_path: Path, public_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    private_path.parent.mkdir(parents=True, exist_ok=True)
    public_path.parent.mkdir(parents=True, exist_ok=True)
    private_path.touch(mode=0o600)
    private_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public_path.write_bytes(public_pem(key.public_key()))


def public_pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
