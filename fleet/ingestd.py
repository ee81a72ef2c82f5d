"""ingestd: frames from the broker into the store; the robot hears of it only then.

Several run side by side by a shared subscription, each under a name of its own. A message is
acknowledged to the broker after its acknowledgement to the robot is on its way; whatever is lost in
between comes again, and changes nothing.
"""

import argparse
import logging
import signal
import sqlite3
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage

from conf.schema.telemetry import Store
from fleet.clock import SystemClock
from fleet.events.log import adopt
from fleet.inbox import Inbox, is_late
from fleet.ingest import Incoming, Ingest
from fleet.metrics.keep import thin
from fleet.mqtt import FleetClient
from fleet.settings import FleetSettings, SettingsError, read_settings
from fleet.store.books import Books
from fleet.store.embedded import EmbeddedStore
from fleet.store.series import SeriesStore, StoreUnavailableError
from runtime.topics import Party, TopicName

log = logging.getLogger(__name__)

HEADER_BYTES = 1024  # of a frame: enough to see whether it is live
RETRY_MIN_S = 0.5
RETRY_MAX_S = 15.0
REPORT_EVERY_S = 30.0
EXPIRE_EVERY_S = 600.0
EXIT_USAGE = 2


@dataclass(frozen=True)
class Arrived:
    """A message and the connection it came by: an acknowledgement is good on that one only."""

    message: MQTTMessage
    connection: int
    at_ns: int
    is_late: bool

    @property
    def size(self) -> int:
        return len(self.message.payload)

    @property
    def incoming(self) -> Incoming:
        said = getattr(self.message.properties, "UserProperty", ())
        return Incoming(self.message.topic, bytes(self.message.payload), said, self.at_ns)


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

    def _arrive(self, _client: Client, message: MQTTMessage) -> None:
        now_ns = self.clock.wall_ns()
        late = is_late(bytes(message.payload[:HEADER_BYTES]))
        self._waiting.put(Arrived(message, self._link.connections, now_ns, late))

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
            for answer in answers:
                self._link.client.publish(answer.topic, answer.payload, qos=1)
            for arrived in batch:
                if arrived.connection == self._link.connections and arrived.message.qos:
                    self._link.client.ack(arrived.message.mid, arrived.message.qos)
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
