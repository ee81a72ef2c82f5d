"""How often somebody may ask: token buckets by key, in bounded memory. Pure but for its own state.

When more keys come than are kept, those longest unused make way: whoever has that many addresses is
held back by the limits on names and on the whole door, not by this one.
"""

from collections import OrderedDict
from dataclasses import dataclass

NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Rate:
    burst: int  # at once
    per_s: float  # and this many a second, for ever


class Buckets:
    def __init__(self, rate: Rate, keys_max: int = 10_000) -> None:
        self._rate = rate
        self._keys_max = keys_max
        self._left: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def take(self, key: str, now_ns: int) -> float:
        """Zero when it may go on; else the seconds after which it may, and nothing was taken."""
        left = self._level(key, now_ns)
        if left < 1:
            self._keep(key, left, now_ns)
            return (1 - left) / self._rate.per_s
        self._keep(key, left - 1, now_ns)
        return 0.0

    def give_back(self, key: str, now_ns: int) -> None:
        """What was taken for a try that turned out to be good."""
        if key in self._left:
            self._keep(key, min(self._rate.burst, self._level(key, now_ns) + 1), now_ns)

    def _level(self, key: str, now_ns: int) -> float:
        left, then_ns = self._left.get(key, (float(self._rate.burst), now_ns))
        more = max(0, now_ns - then_ns) / NS_PER_S * self._rate.per_s
        return min(float(self._rate.burst), left + more)

    def _keep(self, key: str, left: float, now_ns: int) -> None:
        self._left[key] = (left, now_ns)
        self._left.move_to_end(key)
        while len(self._left) > self._keys_max:
            self._left.popitem(last=False)
