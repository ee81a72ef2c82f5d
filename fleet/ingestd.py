"""ingestd: frames from the broker into the store; the robot hears of it only then.

Several run side by side by a shared subscription, each under a name of its own. A message is
acknowledged to the broker after its acknowledgement to the robot is on its way; whatever is lost in
between comes again, and changes nothing.
"""

import argparse
import gc
import logging
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mqtt5 import PublishPacket

from conf.schema.telemetry import Store
from fleet.clock import SystemClock
from fleet.events.log import adopt
from fleet.inbox import Inbox, is_late
from fleet.ingest import Incoming, Ingest
from fleet.metrics.keep import thin
from fleet.mqtt import FleetClient, Receipt
from fleet.settings import FleetSettings, SettingsError, read_settings
from fleet.store.books import Books
from fleet.store.embedded import EmbeddedStore
from fleet.store.series import SeriesStore, StoreUnavailableError
from runtime.topics import Party, TopicName

log = logging.getLogger(__name__)

RETRY_MIN_S = 0.5
RETRY_MAX_S = 15.0
REPORT_EVERY_S = 30.0
EXPIRE_EVERY_S = 600.0
RINGS_LOOKED_FOR = 200_000  # after so many new objects
EXIT_USAGE = 2


class Arrived(NamedTuple):
    """A message, and what the broker has to hear when it is dealt with."""

    incoming: Incoming
    receipt: Receipt
    size: int
    is_late: bool


class Ingester:
    """The network's thread puts messages in; `run` takes them out, in batches."""

    def __init__(self, settings: FleetSettings, name: str) -> None:
        self.store = open_store(settings)
        self.books = Books(settings.books_url)
        self.clock = SystemClock()
        self.ingest = Ingest(self.store, self.books, self.clock)
        self._settings = settings
        self._waiting: Inbox[Arrived] = Inbox()
        self._ending = threading.Event()
        self._link = FleetClient(
            settings,
            Party.INGEST,
            f"ingest/{name}",
            (TopicName.FRAMES, TopicName.ACCOUNT),
            self._arrive,
            manual_ack=True,
        )

    def run(self) -> None:
        self._adopt()
        _collect_rarely()
        self._link.start()
        reported = expired = time.monotonic()
        while not self._ending.is_set():
            batch = self._waiting.take(wait_s=0.5)
            if batch:
                self._process(batch)
            if time.monotonic() - reported > REPORT_EVERY_S:
                reported = time.monotonic()
                log.info("so far: %s", self.ingest.counts)
            if time.monotonic() - expired > EXPIRE_EVERY_S:
                expired = time.monotonic()
                self._expire()
        self._link.stop()
        self.store.close()
        self.books.close()

    def end(self) -> None:
        self._ending.set()

    def _arrive(self, messages: Sequence[PublishPacket], connection: int) -> None:
        now_ns = self.clock.wall_ns()
        self._waiting.put([_arrived(message, connection, now_ns) for message in messages])

    def _process(self, batch: list[Arrived]) -> None:
        delay_s = RETRY_MIN_S
        while not self._ending.is_set():
            try:
                answers = self.ingest.process([arrived.incoming for arrived in batch])
            except StoreUnavailableError as error:
                log.warning("%s; trying again in %.1f s", error, delay_s)
                self._ending.wait(delay_s)
                delay_s = min(2 * delay_s, RETRY_MAX_S)
                continue
            self._link.answer(answers, (arrived.receipt for arrived in batch))
            return

    def _adopt(self) -> None:
        """Events of before there was a log of them."""
        try:
            found = adopt(self.books.engine, self.store, self.clock.wall_ns())
        except StoreUnavailableError as error:
            log.warning("events of earlier versions cannot be searched yet: %s", error)
            return
        if found:
            log.info("%d events of an earlier version can be searched now", found)

    def _expire(self) -> None:
        """What is too old; a database that is away just now is asked again at the next turn."""
        now_ns = self.clock.wall_ns()
        try:
            thin(self.books.engine, now_ns // 10**9, self._settings.keep)
            if isinstance(self.store, EmbeddedStore):
                gone = self.store.expire(now_ns, self._settings.retention_days)
                log.info("retention: %d points deleted", gone)
        except (StoreUnavailableError, sqlite3.Error) as error:
            log.warning("nothing was thinned: %s", error)


def _collect_rarely() -> None:
    """A batch makes tens of thousands of objects that end with it, and none of them in a ring.

    Looking for rings among them again and again was a quarter of all work.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(RINGS_LOOKED_FOR, 10, 10)


def _arrived(message: PublishPacket, connection: int, now_ns: int) -> Arrived:
    payload, number = message.payload, message.packet_id
    return Arrived(
        Incoming(message.topic, payload, message.user_properties, now_ns),
        Receipt(connection, number or 0),  # 0: at most once, nobody waits for it
        len(payload),
        is_late(payload),
    )


def open_store(settings: FleetSettings) -> SeriesStore:
    match settings.store:
        case Store.EMBEDDED:
            return EmbeddedStore(settings.series)
        case Store.INFLUXDB:
            # Its client takes a second to import, which the embedded default need not pay.
            from fleet.store.influx import InfluxStore

            return InfluxStore(settings.influx)


def main() -> None:
    parser = argparse.ArgumentParser(prog="ingestd")
    parser.add_argument("--fleet-dir", type=Path, default=Path("var/fleet"))
    parser.add_argument("--name", default="1", help="unlike that of every other ingester")
    args, _rest = parser.parse_known_args()
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s ingestd %(levelname)s %(message)s",
    )
    try:
        ingester = Ingester(read_settings(args.fleet_dir.absolute()), args.name)
    except (SettingsError, StoreUnavailableError, OSError) as error:
        log.error("%s", error)
        sys.exit(EXIT_USAGE)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _signal, _frame: ingester.end())
    ingester.run()


if __name__ == "__main__":
    main()
