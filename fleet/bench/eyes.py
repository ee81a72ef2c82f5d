"""What somebody who looks at a robot's page sees, and how old it is at that moment."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import httpx
import orjson

from fleet.clock import SystemClock
from fleet.load.live import CYCLES_S

SEEN = "control.cycles"  # of a load's robot: its clock, in cycles


class Eyes:
    """One stream for each robot, read until `close`; ages in milliseconds."""

    def __init__(self, link: str, page_url: str, robots: Sequence[str]) -> None:
        self.ages_ms: list[float] = []
        self._client = httpx.Client(base_url=page_url, timeout=httpx.Timeout(10.0, read=30.0))
        self._client.get(link)
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, args=(robot,), daemon=True) for robot in robots
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(15)
        self._client.close()

    def _watch(self, robot: str) -> None:
        clock = SystemClock()
        while not self._over.is_set():
            try:
                with self._client.stream("GET", f"/robots/{robot}/stream") as reply:
                    reply.raise_for_status()
                    for number, line in enumerate(reply.iter_lines()):
                        if self._over.is_set():
                            return
                        self._note(line, clock.wall_ns(), is_first=number == 0)
            except httpx.HTTPError:
                time.sleep(0.2)  # the page does not know the robot yet

    def _note(self, line: str, now_ns: int, *, is_first: bool) -> None:
        """The first picture may be old: nobody had looked before."""
        if not line.startswith("data: ") or is_first:
            return
        changes: Any = orjson.loads(line[6:])
        shown = changes.get("text", {}).get(SEEN)
        if shown is not None:
            self.ages_ms.append(now_ns / 1e6 - int(shown.replace(",", "")) * 1000 / CYCLES_S)
