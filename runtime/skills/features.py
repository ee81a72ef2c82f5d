"""Short-lived facts about the scene, kept 60 s: a skill survives a perception gap knowingly.

Time is an argument. A feature is returned with the time it was stored, never without its age.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

TTL_NS = 60_000_000_000
CAPACITY = 256

T = TypeVar("T")


@dataclass(frozen=True)
class CachedFeature(Generic[T]):
    value: T
    stored_ns: int

    def age_ns(self, now_ns: int) -> int:
        return now_ns - self.stored_ns


class FeatureCache(Generic[T]):
    """At most `capacity` features; the one stored longest ago gives way first."""

    def __init__(self, ttl_ns: int = TTL_NS, capacity: int = CAPACITY) -> None:
        if ttl_ns <= 0 or capacity <= 0:
            raise ValueError(f"feature cache: ttl_ns {ttl_ns} and capacity {capacity} must be > 0")
        self._ttl_ns = ttl_ns
        self._capacity = capacity
        self._features: OrderedDict[str, CachedFeature[T]] = OrderedDict()

    def put(self, key: str, value: T, now_ns: int) -> None:
        self._features.pop(key, None)
        self._features[key] = CachedFeature(value, now_ns)
        while len(self._features) > self._capacity:
            self._features.popitem(last=False)

    def get(self, key: str, now_ns: int) -> CachedFeature[T] | None:
        found = self._features.get(key)
        if found is None or not self._is_alive(found, now_ns):
            return None
        return found

    def sweep(self, now_ns: int) -> int:
        """Drop what has expired; returns how many."""
        dead = [key for key, found in self._features.items() if not self._is_alive(found, now_ns)]
        for key in dead:
            del self._features[key]
        return len(dead)

    def __len__(self) -> int:
        return len(self._features)

    def _is_alive(self, found: CachedFeature[T], now_ns: int) -> bool:
        # A feature from the future means that a clock went back: its age is unknown, so it is gone.
        return 0 <= found.age_ns(now_ns) < self._ttl_ns
