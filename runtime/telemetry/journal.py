"""The spool in use, and what becomes of records when its disk fails.

A damaged file is set aside and a new spool begun; a disk that cannot be written leaves a spool in
memory, tried again every ten seconds. Each is an alert of its own, and each spool has its own
epoch, so that no sequence number is ever given twice.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from records import Severity
from runtime.hal.clock import Clock
from runtime.telemetry.client import Record, RecordKind, Value
from runtime.telemetry.ranges import Range
from runtime.telemetry.spool import Commit, Spool
from runtime.telemetry.spool_file import (
    SpoolCorruptError,
    SpoolLimits,
    SpoolUnavailableError,
    set_aside,
)
from runtime.telemetry.stamp import Instant

log = logging.getLogger(__name__)

MEMORY_LIMITS = SpoolLimits(16 * 2**20)
REOPEN_EVERY_NS = 10_000_000_000


@dataclass(frozen=True)
class Committed:
    """A commit and the spool it went to."""

    spool: Spool
    commit: Commit


class Journal:
    """Takes records for ever: on disk while it can, in memory while it must."""

    def __init__(
        self,
        path: Path,
        limits: SpoolLimits,
        tagset: bytes,
        clock: Clock,
        new_epoch: Callable[[], int],
    ) -> None:
        self._path = path
        self._limits = limits
        self._tagset = tagset
        self._clock = clock
        self._new_epoch = new_epoch
        self._lock = threading.RLock()
        self._notices: list[Record] = []
        self._was_full = False
        self._tried_ns = clock.now_ns()
        self.active = self._open()

    def commit(self, records: Sequence[Record]) -> Committed:
        """Never raises for the disk's sake; the spool in the result says how durable it is."""
        with self._lock:
            now = Instant(self._clock.now_ns(), self._clock.wall_ns())
            self._return_to_disk(now.now_ns)
            notices, self._notices = self._notices, []
            batch = [*records, *notices]
            try:
                done = self.active.commit(batch, now)
            except (SpoolUnavailableError, SpoolCorruptError) as error:
                self._replace(error)
                batch += self._notices
                self._notices = []
                done = self.active.commit(batch, now)
            self._notice_trouble(done)
            return Committed(self.active, done)

    @property
    def has_notices(self) -> bool:
        """Whether the journal itself has something to record."""
        return bool(self._notices)

    def settle(
        self,
        spool: Spool,
        *,
        stored: Sequence[Range],
        refused: Sequence[Range],
        thinned: Sequence[Range],
    ) -> None:
        """Forget what the fleet has; a spool that cannot just now is asked again by the resend."""
        try:
            spool.settle(stored=stored, refused=refused, thinned=thinned)
        except (SpoolUnavailableError, SpoolCorruptError) as error:
            log.warning("%s", error)

    def close(self) -> None:
        self.active.close()

    def _open(self) -> Spool:
        try:
            return self._open_disk()
        except SpoolCorruptError as error:
            return self._begin_anew(error)
        except SpoolUnavailableError as error:
            return self._fall_back(error)

    def _open_disk(self) -> Spool:
        return Spool(
            self._path, limits=self._limits, tagset=self._tagset, new_epoch=self._new_epoch()
        )

    def _begin_anew(self, error: SpoolCorruptError) -> Spool:
        log.error("%s", error)
        try:
            aside = set_aside(self._path)
            spool = self._open_disk()
        except (OSError, SpoolUnavailableError, SpoolCorruptError) as failure:
            return self._fall_back(failure)
        self._note("telemetry.spool_corrupt", {"detail": str(error), "set_aside": aside.name})
        return spool

    def _fall_back(self, error: Exception) -> Spool:
        log.error("%s", error)
        self._tried_ns = self._clock.now_ns()
        self._note("telemetry.spool_unavailable", {"detail": str(error)})
        epoch = self._new_epoch()
        return Spool(None, limits=MEMORY_LIMITS, tagset=self._tagset, new_epoch=epoch)

    def _replace(self, error: SpoolUnavailableError | SpoolCorruptError) -> None:
        self.active.close()
        if isinstance(error, SpoolCorruptError):
            self.active = self._begin_anew(error)
        else:
            self.active = self._fall_back(error)

    def _return_to_disk(self, now_ns: int) -> None:
        if self.active.path is not None or now_ns - self._tried_ns < REOPEN_EVERY_NS:
            return
        self._tried_ns = now_ns
        try:
            self.active = self._open_disk()
        except SpoolCorruptError as error:
            self.active = self._begin_anew(error)
        except SpoolUnavailableError:
            return
        self._note("telemetry.spool_restored", {}, Severity.WARNING)

    def _notice_trouble(self, done: Commit) -> None:
        if done.clock_back_ns:
            back_s = round(done.clock_back_ns / 1e9, 3)
            self._note("clock.wall_set_back", {"back_s": back_s}, Severity.WARNING)
        if self.active.disk_full != self._was_full:
            self._was_full = self.active.disk_full
            name = "telemetry.disk_full" if self._was_full else "telemetry.disk_freed"
            severity = Severity.CRITICAL if self._was_full else Severity.INFO
            self._note(name, {}, severity)

    def _note(
        self, name: str, fields: dict[str, Value], severity: Severity = Severity.CRITICAL
    ) -> None:
        now_ns = self._clock.now_ns()
        record = Record(RecordKind.EVENT, "telemetryd", name, severity, now_ns, fields)
        self._notices.append(record)
