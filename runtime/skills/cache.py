"""The robot's skills: at most 100, least recently used leaves first, whole after any power cut.

Several processes may open the same cache. Changes happen under a file lock; readers need none,
because a skill's folder comes and goes in one rename and is verified from its bytes at every load.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime.skills import durable
from runtime.skills.package import read_source
from runtime.skills.refusal import RefusalReason, SkillRefusedError, refuse
from runtime.skills.signature import load_trusted_keys, skill_hash_of
from runtime.skills.verify import Skill, check_arm, verify_files

CAPACITY = 100
INDEX_FILE = "index.json"
_FOLDER = re.compile(r"([a-z][a-z0-9_]{0,39})-(\d{1,6}\.\d{1,6}\.\d{1,6})-([0-9a-f]{64})")


@dataclass(frozen=True)
class CachedSkill:
    """What the folder's name says; the content is verified when it is loaded."""

    name: str
    version: str
    digest: str

    @property
    def folder_name(self) -> str:
        return f"{self.name}-{self.version}-{self.digest}"

    @property
    def skill_hash(self) -> int:
        return skill_hash_of(self.digest)


class Index(BaseModel):
    """`used`: digests, least recently used first. `current`: the digest that a bare name means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    used: Annotated[tuple[str, ...], Field(max_length=10_000)] = ()
    current: dict[str, str] = {}


class SkillCache:
    def __init__(
        self, folder: Path, keys: tuple[Ed25519PublicKey, ...], *, capacity: int = CAPACITY
    ) -> None:
        self._folder = folder
        self._keys = keys
        self._capacity = capacity

    @classmethod
    def open(cls, folder: Path, key_folder: Path, *, capacity: int = CAPACITY) -> "SkillCache":
        return cls(folder, load_trusted_keys(key_folder), capacity=capacity)

    def list(self) -> tuple[CachedSkill, ...]:
        """Most recently used first."""
        present = self._present()
        order = self._index(present).used
        return tuple(present[digest] for digest in reversed(order))

    def find(self, name: str) -> CachedSkill | None:
        present = self._present()
        digest = self._index(present).current.get(name)
        return present.get(digest) if digest is not None else None

    def find_hash(self, skill_hash: int) -> CachedSkill | None:
        for skill in self._present().values():
            if skill.skill_hash == skill_hash:
                return skill
        return None

    def load(self, cached: CachedSkill) -> Skill:
        """Read and verify; a skill damaged on disk is refused here, not run."""
        where = self._folder / cached.folder_name
        skill = verify_files(read_source(where), self._keys, where)
        if skill.digest != cached.digest:
            raise refuse(
                RefusalReason.HASH_WRONG,
                where,
                got=f"digest {skill.digest[:16]}…",
                allowed=f"{cached.digest[:16]}…, as its folder is named",
                attempt="bedplate skills install it again",
            )
        return skill

    def install(self, source: Path, arm: str) -> Skill:
        """Verify everything first; then one rename makes it visible."""
        files = read_source(source)
        skill = verify_files(files, self._keys, source)
        check_arm(skill, arm, source)
        cached = CachedSkill(skill.manifest.name, skill.manifest.version, skill.digest)
        try:
            self._store(cached, skill)
        except OSError as error:
            raise refuse(
                RefusalReason.STORAGE_FAILED,
                self._folder,
                got=f"{type(error).__name__}: {error}",
                allowed="a writable data partition with room",
                attempt="free space on the data partition; the old skill still runs",
            ) from error
        return skill

    def touch(self, cached: CachedSkill) -> None:
        """Mark as just used. A disk that cannot be written loses the order, not the skill."""
        try:
            with durable.exclusive(self._folder):
                present = self._present()
                index = self._index(present)
                if cached.digest in present and index.used[-1:] != (cached.digest,):
                    self._write(_as_used(index, cached.digest))
        except OSError:
            return

    def _store(self, cached: CachedSkill, skill: Skill) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with durable.exclusive(self._folder):
            durable.remove_leftovers(self._folder)
            target = self._folder / cached.folder_name
            # A folder of this digest may be damaged: replaced by the verified bytes.
            durable.remove_folder(target)
            durable.create_folder(target, skill.files)
            present = self._present()
            index = _as_used(self._index(present), cached.digest)
            current = {**index.current, cached.name: cached.digest}
            kept = index.used[-self._capacity :]
            self._write(Index(used=kept, current=_only(current, kept)))
            for digest in set(index.used) - set(kept):
                durable.remove_folder(self._folder / present[digest].folder_name)

    def _present(self) -> dict[str, CachedSkill]:
        if not self._folder.is_dir():
            return {}
        found = (_FOLDER.fullmatch(path.name) for path in sorted(self._folder.iterdir()))
        skills = (CachedSkill(*match.groups()) for match in found if match is not None)
        return {skill.digest: skill for skill in skills}

    def _index(self, present: dict[str, CachedSkill]) -> Index:
        """The stored index in line with the folders: they are the truth, it is the order."""
        try:
            stored = Index.model_validate(orjson.loads((self._folder / INDEX_FILE).read_bytes()))
        except (OSError, orjson.JSONDecodeError, ValidationError):
            stored = Index()
        used = tuple(digest for digest in dict.fromkeys(stored.used) if digest in present)
        adopted = tuple(digest for digest in present if digest not in used)
        current = {name: d for name, d in stored.current.items() if d in present}
        for digest in (*used, *adopted):
            current.setdefault(present[digest].name, digest)
        return Index(used=(*adopted, *used), current=current)

    def _write(self, index: Index) -> None:
        content = orjson.dumps(index.model_dump(), option=orjson.OPT_SORT_KEYS)
        durable.replace_file(self._folder / INDEX_FILE, content)


def obtain(
    cache: SkillCache, name: str, arm: str, *, online: bool, fetch: Callable[[str], Path | None]
) -> Skill:
    """A cached skill runs with or without network; a new one needs it, else it is refused."""
    cached = cache.find(name)
    if cached is not None:
        skill = cache.load(cached)
        check_arm(skill, arm, Path(cached.folder_name))
        cache.touch(cached)
        return skill
    if not online:
        raise _not_cached(name, cache)
    source = fetch(name)
    if source is None:
        raise refuse(
            RefusalReason.NOT_FOUND,
            name,
            got="no such skill in the skill store",
            allowed="a skill that the store or the cache holds",
            attempt="bedplate skills list shows what is cached",
        )
    return cache.install(source, arm)


def _not_cached(name: str, cache: SkillCache) -> SkillRefusedError:
    names = ", ".join(sorted({skill.name for skill in cache.list()})) or "none"
    return refuse(
        RefusalReason.NOT_CACHED_OFFLINE,
        name,
        got="a skill that is not cached, and no network to fetch it",
        allowed=f"cached skills: {names}",
        attempt="run a cached skill, or ask again when the network is back",
    )


def _as_used(index: Index, digest: str) -> Index:
    rest = tuple(other for other in index.used if other != digest)
    return Index(used=(*rest, digest), current=index.current)


def _only(current: dict[str, str], kept: tuple[str, ...]) -> dict[str, str]:
    return {name: digest for name, digest in current.items() if digest in kept}
