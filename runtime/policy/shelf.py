"""The skill that is wanted now, loaded from the cache once and kept."""

from pathlib import Path

from records import Severity
from runtime.skills.cache import CachedSkill, SkillCache
from runtime.skills.refusal import SkillRefusedError
from runtime.skills.verify import Skill, check_arm
from runtime.telemetry.client import TelemetryClient

LOOK_AGAIN_NS = 2_000_000_000


class SkillShelf:
    """Looking and verifying take longer than a control step: done at most once in two seconds."""

    def __init__(
        self, cache: SkillCache, default_name: str, arm: str, telemetry: TelemetryClient
    ) -> None:
        self._cache = cache
        self._default_name = default_name
        self._arm = arm
        self._telemetry = telemetry
        self._loaded: Skill | None = None
        self._missing_hash: int | None = None
        self._looked_ns = 0

    def wanted(self, skill_hash: int, now_ns: int) -> Skill | None:
        """The skill of this hash; 0 stands for the profile's own."""
        loaded = self._loaded
        if loaded is not None and skill_hash in {0, loaded.skill_hash}:
            return loaded
        waiting = now_ns - self._looked_ns < LOOK_AGAIN_NS
        if self._missing_hash == skill_hash and waiting:
            return None
        self._looked_ns = now_ns
        self._loaded = self._load(skill_hash)
        self._missing_hash = skill_hash if self._loaded is None else None
        return self._loaded

    def _load(self, skill_hash: int) -> Skill | None:
        cached = (
            self._cache.find_hash(skill_hash)
            if skill_hash
            else self._cache.find(self._default_name)
        )
        if cached is None:
            return None
        try:
            skill = self._cache.load(cached)
            check_arm(skill, self._arm, Path(cached.folder_name))
        except SkillRefusedError as error:
            self._tell(cached, error)
            return None
        return skill

    def _tell(self, cached: CachedSkill, error: SkillRefusedError) -> None:
        self._telemetry.event(
            "skill.refused",
            Severity.WARNING,
            {"skill": cached.name, "reason": error.reason.value, "detail": str(error)[:500]},
        )
