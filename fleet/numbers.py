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
OLD_NS = 60_000_000_000  # older numbers are no longer shown as those of now
WINDOW_S = 3600.0
PAGE_PATIENCE_S = 0.1  # a page shows what is there; its stream brings what comes later
API_PATIENCE_S = 30.0  # who asks once wants the answer


@dataclass(frozen=True)
class Known:
    """`now` None: the rows cannot be read just now, `why` says it."""

    now: FleetNow | None = None
    week: tuple[Day, ...] = ()
    why: str = ""


LATE = Known(why="the rows have not answered yet")


class Numbers:
    """What is known is answered at once, and asked again beside it when it is no longer fresh."""

    def __init__(self, rows: Engine, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock
        self._known = LATE
        self._known_ns: int | None = None
        self._asked_ns: int | None = None
        self._week_ns: int | None = None
        self._asking: asyncio.Task[None] | None = None

    async def get(self, patience_s: float = PAGE_PATIENCE_S) -> Known:
        """Waits so long at most, and only where nothing is known that still counts."""
        now_ns = self._clock.now_ns()
        asking = self._asking
        due = self._asked_ns is None or now_ns - self._asked_ns >= FRESH_NS
        if due and (asking is None or asking.done()):
            self._asked_ns = now_ns
            asking = self._asking = asyncio.create_task(self._ask_again(now_ns))
        if asking is not None and self._is_old(now_ns):
            await asyncio.wait([asking], timeout=patience_s)  # it goes on when the wait is over
        return LATE if self._is_old(now_ns) else self._known

    def _is_old(self, now_ns: int) -> bool:
        return self._known_ns is None or now_ns - self._known_ns >= OLD_NS

    async def _ask_again(self, now_ns: int) -> None:
        self._known = await asyncio.to_thread(self._ask, now_ns)
        self._known_ns = now_ns

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
