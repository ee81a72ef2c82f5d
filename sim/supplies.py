"""What a development robot is given before its first start: its skill, certificates, a broker.

A robot of the field gets these from its image and from the fleet; here they are made on the spot,
with keys that never leave var/.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from conf.schema import Config
from fleet.alerts.alertmanager import AlertmanagerError
from fleet.broker import BrokerError
from fleet.influxd import InfluxdError
from fleet.prepare import LocalRobot, Prepared, prepare
from runtime.paths import Paths
from runtime.skills.cache import SkillCache
from runtime.skills.refusal import SkillRefusedError
from runtime.skills.signature import write_key_pair
from sim.launch import LaunchError

ROOT = Path(__file__).resolve().parent.parent
SKILL_SOURCES = (ROOT / "models/policy", ROOT / "runtime/skills", ROOT / "runtime/policy")


def install_skill(config: Config, paths: Paths, var: Path) -> None:
    """Packs and signs the shipped skill when its sources changed, and puts it into the cache."""
    arm = config.robot.arm.kind.value
    private, public = var / "keys/skills.pem", var / "keys/skills.pub.pem"
    if not (private.exists() and public.exists()):
        write_key_pair(private, public)
    trusted = paths.pki / "skills"
    trusted.mkdir(parents=True, exist_ok=True)
    (trusted / "dev.pem").write_bytes(public.read_bytes())
    archive = var / "skills" / f"pick_place-{arm}-{_sources_hash(arm, private)}.skill"
    if not archive.is_file():
        _pack(arm, private, archive)
    cache = SkillCache.open(paths.skills, trusted, capacity=config.policy.skills.cache_max)
    try:
        cache.install(archive, arm)
    except SkillRefusedError as error:
        raise LaunchError(str(error)) from error


def prepare_fleet_side(config: Config, paths: Paths, fleet: Path) -> Prepared:
    """Certificates, the broker's files, the fleet's settings; with InfluxDB also its server."""
    local = LocalRobot(paths.pki, paths.agent_socket, paths.faults_socket)
    try:
        return prepare(config, fleet, local)
    except (AlertmanagerError, BrokerError, InfluxdError, OSError) as error:
        raise LaunchError(str(error)) from error


def _sources_hash(arm: str, key: Path) -> str:
    digest = hashlib.sha256(key.read_bytes())
    for folder in SKILL_SOURCES:
        for path in sorted(folder.rglob("*")):
            other_arm = path.parent.parent == ROOT / "models/policy" and path.parent.name != arm
            if path.suffix in {".py", ".onnx", ".yaml"} and not other_arm:
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _pack(arm: str, key: Path, archive: Path) -> None:
    """In a process of its own: packing imports the model makers, a robot's launcher does not."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_suffix(".part")
    command = ["-m", "models.policy.bundle", "--arm", arm, "--key", str(key), "--out", str(partial)]
    made = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        raise LaunchError(
            f"the skill for {arm} could not be packed:\n{(made.stderr or made.stdout).strip()}"
        )
    partial.replace(archive)
