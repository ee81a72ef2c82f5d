"""The agent's view of the skill cache: names to hashes for the goal, and the gate for new tasks."""

import logging
import threading
from pathlib import Path

from runtime.paths import Paths
from runtime.skills.cache import CachedSkill, SkillCache, obtain
from runtime.skills.refusal import SkillRefusedError

log = logging.getLogger(__name__)


class SkillShelf:
    """Verified once per digest; a skill that was damaged since is refused by whoever loads it."""

    def __init__(self, paths: Paths, arm: str, capacity: int) -> None:
        self._incoming = paths.data / "incoming"
        self._paths = paths
        self._arm = arm
        self._capacity = capacity
        self._verified: dict[str, CachedSkill] = {}
        self._lock = threading.Lock()

    def list(self) -> tuple[CachedSkill, ...]:
        return self._cache().list()

    def obtain(self, name: str, *, online: bool) -> int:
        """The skill's hash, or SkillRefusedError; a new one needs the network."""
        cache = self._cache()
        skill = obtain(cache, name, self._arm, online=online, fetch=self._fetch)
        cached = cache.find(name)
        with self._lock:
            if cached is not None:
                self._verified[name] = cached
        return CachedSkill(name, skill.manifest.version, skill.digest).skill_hash

    def hash_of(self, name: str) -> int | None:
        """For the step loop: no file is read once a skill has been verified."""
        with self._lock:
            known = self._verified.get(name)
        if known is not None:
            return known.skill_hash
        try:
            return self.obtain(name, online=False)
        except SkillRefusedError as error:
            log.warning("%s", error)
            return None

    def _cache(self) -> SkillCache:
        keys = self._paths.pki / "skills"
        return SkillCache.open(self._paths.skills, keys, capacity=self._capacity)

    def _fetch(self, name: str) -> Path | None:
        """What the update client has left in data/incoming: a folder, or an archive of one."""
        for candidate in (self._incoming / name, self._incoming / f"{name}.skill"):
            if candidate.exists():
                return candidate
        return None
