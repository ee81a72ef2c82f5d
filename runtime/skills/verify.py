"""From untrusted bytes to a `Skill`: signature, then hashes, then manifest, then networks."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from runtime.skills.manifest import MANIFEST_FILE, ModelFile, SkillManifest, parse_manifest
from runtime.skills.package import SkillFiles
from runtime.skills.refusal import RefusalReason, SkillRefusedError, refuse
from runtime.skills.signature import (
    LIST_FILE,
    MAX_LIST_BYTES,
    SIGNATURE_FILE,
    FileList,
    digest_of,
    parse_list,
    skill_hash_of,
    verify_signature,
)

OBSERVATION_INPUT = "observation"
CHUNK_OUTPUT = "chunk"


@dataclass(frozen=True)
class Skill:
    """A verified skill; `files` are the very bytes that were checked, never read again."""

    manifest: SkillManifest
    digest: str
    files: SkillFiles

    @property
    def skill_hash(self) -> int:
        return skill_hash_of(self.digest)

    @property
    def label(self) -> str:
        return f"{self.manifest.name} {self.manifest.version} ({self.digest[:12]})"


def verify_files(files: SkillFiles, keys: tuple[Ed25519PublicKey, ...], where: Path) -> Skill:
    """Everything a robot checks before a skill may be cached or run."""
    content = files.get(LIST_FILE)
    signature = files.get(SIGNATURE_FILE)
    if content is None or signature is None:
        raise refuse(
            RefusalReason.SIGNATURE_MISSING,
            where,
            got=f"no {LIST_FILE if content is None else SIGNATURE_FILE}",
            allowed="signed skills only",
            attempt="bedplate skills pack --key KEY signs a folder",
        )
    if len(content) > MAX_LIST_BYTES or len(signature) > 1024:
        raise refuse(
            RefusalReason.TOO_LARGE,
            where,
            got=f"list of {len(content)} bytes, signature of {len(signature)} bytes",
            allowed=f"at most {MAX_LIST_BYTES} and 1024",
            attempt="pack the skill again with bedplate skills pack",
        )
    # The signature comes first: no parser sees bytes that no trusted key vouched for.
    verify_signature(content, signature, keys, where)
    _check_hashes(files, parse_list(content, where), where)
    if MANIFEST_FILE not in files:
        raise _missing(where, MANIFEST_FILE)
    manifest = parse_manifest(files[MANIFEST_FILE], where / MANIFEST_FILE)
    for name in (manifest.card, manifest.policy.file):
        if name not in files:
            raise _missing(where, name)
    for model in (manifest.policy, manifest.backup):
        if model is not None:
            check_model(files, model, where)
    return Skill(manifest, digest_of(content), files)


def check_arm(skill: Skill, arm: str, where: Path) -> None:
    if skill.manifest.arm != arm:
        raise refuse(
            RefusalReason.ARM_WRONG,
            where,
            got=f"a skill for {skill.manifest.arm}",
            allowed=f"{arm}, the arm of this robot's profile",
            attempt=f"pack or fetch {skill.manifest.name} for {arm}",
        )


def check_model(files: SkillFiles, model: ModelFile, where: Path) -> None:
    """The network's own shapes and output against what the manifest declares."""
    if model.file not in files:
        raise _missing(where, model.file)
    try:
        session = open_session(files[model.file])
        found_in = {value.name: value.shape for value in session.get_inputs()}
        found_out = {value.name: value.shape for value in session.get_outputs()}
        zeros = np.zeros((1, model.observation_size), np.float32)
        found = session.run([CHUNK_OUTPUT], {OBSERVATION_INPUT: zeros})[0]
        chunk = np.asarray(found)
    except Exception as error:  # onnxruntime raises many types, all mean: not this network
        raise _wrong_model(where, model, f"{type(error).__name__}: {error}"[:300]) from error
    want_out = (1, model.chunk_steps, model.joints + 1)
    if found_in != {OBSERVATION_INPUT: [1, model.observation_size]} or chunk.shape != want_out:
        raise _wrong_model(where, model, f"inputs {found_in}, outputs {found_out}")
    if not np.all(np.isfinite(chunk)):
        raise _wrong_model(where, model, "numbers that are not finite for a zero observation")


def open_session(content: bytes) -> ort.InferenceSession:
    """One thread, no spinning: the real-time core and the cameras need the other cycles."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _check_hashes(files: SkillFiles, listed: FileList, where: Path) -> None:
    present = set(files) - {LIST_FILE, SIGNATURE_FILE}
    for name in sorted(present - set(listed.files)):
        raise refuse(
            RefusalReason.FILE_UNLISTED,
            where / name,
            got="a file that the signed list does not name",
            allowed="exactly the listed files",
            attempt="remove the file, or pack the skill again with it",
        )
    for name, entry in sorted(listed.files.items()):
        if name not in present:
            raise _missing(where, name)
        found = hashlib.sha256(files[name]).hexdigest()
        if found != entry.sha256 or len(files[name]) != entry.size:
            raise refuse(
                RefusalReason.HASH_WRONG,
                where / name,
                got=f"sha256 {found[:16]}…, {len(files[name])} bytes",
                allowed=f"sha256 {entry.sha256[:16]}…, {entry.size} bytes, as signed",
                attempt="fetch the skill again: this copy is damaged or altered",
            )


def _missing(where: Path, name: str) -> SkillRefusedError:
    return refuse(
        RefusalReason.FILE_MISSING,
        where,
        got=f"no {name}",
        allowed="every listed file, a manifest, its card and its networks",
        attempt="fetch the skill again",
    )


def _wrong_model(where: Path, model: ModelFile, got: str) -> SkillRefusedError:
    return refuse(
        RefusalReason.MODEL_WRONG,
        where / model.file,
        got=got,
        allowed=(
            f"input {OBSERVATION_INPUT} [1, {model.observation_size}], "
            f"output {CHUNK_OUTPUT} [1, {model.chunk_steps}, {model.joints + 1}], finite"
        ),
        attempt="export the network again with models/policy/export.py",
    )
