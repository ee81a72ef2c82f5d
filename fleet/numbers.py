"""The fleet's numbers for pages: asked of the rows every few seconds, whoever looks."""

import asyncio
import logging
from dataclasses import dataclass

from sqlalchemy.engine import Engine

from fleet.clock import Clock
from fleet.metrics import Day, FleetNow, snapshot, week
from fleet.store.series import StoreUnavailableError

log = logging.getLogger(__name__)

FRESH_NS = 5_000_000_000
WEEK_FRESH_NS = 60_000_000_000
WINDOW_S = 3600.0


@dataclass(frozen=True)
class Known:
    """`now` None: the rows cannot be read just now, `why` says it."""

    now: FleetNow | None = None
    week: tuple[Day, ...] = ()
    why: str = ""


class Numbers:
    def __init__(self, rows: Engine, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock
        self._known = Known()
        self._asked_ns: int | None = None
        self._week_ns: int | None = None
        self._asking = asyncio.Lock()

    async def get(self) -> Known:
        async with self._asking:
            now_ns = self._clock.now_ns()
            if self._asked_ns is None or now_ns - self._asked_ns >= FRESH_NS:
                self._asked_ns = now_ns
                self._known = await asyncio.to_thread(self._ask, now_ns)
            return self._known

    def _ask(self, now_ns: int) -> Known:
        wall_ns = self._clock.wall_ns()
        try:
            days = self._known.week
            if self._week_ns is None or now_ns - self._week_ns >= WEEK_FRESH_NS:
                days = week(self._rows, wall_ns)
                self._week_ns = now_ns
            return Known(snapshot(self._rows, wall_ns, WINDOW_S), days)
        except StoreUnavailableError as error:
            log.warning("the fleet's numbers are not known just now: %s", error)
            return Known(why=str(error))
