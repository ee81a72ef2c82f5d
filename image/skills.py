"""Skills that a robot has from its first boot: verified here as it will verify them itself."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from image.layers import Entry
from image.plan import TREE
from image.refusal import refused
from image.steps.accounts import GROUP_ID, user_id
from runtime.skills.cache import SkillCache
from runtime.skills.refusal import SkillRefusedError
from runtime.skills.signature import write_key_pair

KEYS = "bedplate/pki/skills"
SKILLS = "bedplate/skills"
SHIPPED = "pick_place"
KEEPER = "agentd"


def skill_entries(archives: Sequence[Path], keys: Sequence[Path], arm: str) -> list[Entry]:
    """Where archives and publishers' keys lie on the data partition.

    Raises BuildRefused for what the robot would refuse: a wrong arm, an unknown publisher.
    """
    if not archives and not keys:
        return []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        trusted, cached = work / "keys", work / "skills"
        trusted.mkdir()
        for key in keys:
            (trusted / key.name).write_bytes(_read(key))
        cache = SkillCache.open(cached, trusted)
        for archive in archives:
            try:
                cache.install(archive, arm)
            except SkillRefusedError as error:
                raise refused(
                    str(archive),
                    str(error),
                    "the robot would refuse it too, and have nothing to do",
                    "--skill-key with its publisher's public key, or a skill for this arm",
                ) from error
        # Whose signature counts is nobody's to change; the cache is the agent's.
        return [*_walk(trusted, KEYS, 0), *_walk(cached, SKILLS, user_id(KEEPER))]


def shipped_skill(arm: str, folder: Path) -> tuple[Path, Path]:
    """The skill of this tree, signed with a key that is made for one guest: archive, public key."""
    private, public = folder / "skills.pem", folder / "skills.pub.pem"
    if not public.exists():
        write_key_pair(private, public)
    archive = folder / f"{SHIPPED}-{arm}.skill"
    words = ["-m", "models.policy.bundle", "--arm", arm, "--key", str(private)]
    made = subprocess.run(
        [sys.executable, *words, "--out", str(archive)],
        cwd=TREE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode != 0:
        raise refused(
            f"the skill for {arm}",
            (made.stderr or made.stdout).strip(),
            "the guest would have nothing to do",
            f"python -m models.policy.bundle --arm {arm}",
        )
    return archive, public


def _walk(folder: Path, place: str, owner: int) -> list[Entry]:
    """Folders first, so that each exists before what lies in it."""
    found = [Entry(path=place, uid=owner, gid=GROUP_ID)]
    for path in sorted(folder.rglob("*")):
        there = f"{place}/{path.relative_to(folder)}"
        if path.is_dir():
            found.append(Entry(path=there, uid=owner, gid=GROUP_ID))
        else:
            data = path.read_bytes()
            found.append(Entry(path=there, mode=0o644, uid=owner, gid=GROUP_ID, data=data))
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise refused(
            str(path), str(error), "no skill can be verified without it", "see that it is right"
        ) from error
