"""fleetd: watches the robots, serves pages and API, lets robots ask to be enrolled."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Coroutine
from typing import Any

import uvicorn

from fleet.alerts.alertd import AlertWatch, RobotNow, robot_now
from fleet.alerts.alertmanager import Alertmanager
from fleet.clock import Clock, SystemClock
from fleet.enrolment import Enrolments
from fleet.enrolment_api import EnrolmentSite, enrolment_server
from fleet.ingestd import open_store
from fleet.launch import launch
from fleet.mqtt import FleetClient
from fleet.numbers import Numbers
from fleet.people.accounts import Accounts
from fleet.people.audit import Audit
from fleet.people.door import Door
from fleet.people.keys import Keys
from fleet.pki import Authority
from fleet.security import Csrf, hosts_of
from fleet.settings import FleetSettings
from fleet.site import Entrance, Known, Site
from fleet.store.books import Books
from fleet.store.rows import open_rows
from fleet.store.series import StoreUnavailableError
from fleet.upkeep import AlertmanagerSilences, Silences, Upkeep
from fleet.watch import Watch
from runtime.topics import Party, TopicName

log = logging.getLogger(__name__)

SWITCH_S = 0.001  # who asks for a page waits for a turn of the watch's threads no longer


def build(settings: FleetSettings) -> tuple[Site, Watch, FleetClient, AlertWatch]:
    clock = SystemClock()
    rows, series = open_rows(settings.rows_url), open_store(settings)
    watch = Watch(settings, series, Books(settings.rows_url), clock)
    alerting = AlertWatch(settings, rows, series, lambda: heard_of(watch, clock), clock)
    watch.attend(alerting.alerts.active)
    link = FleetClient(
        settings,
        Party.FLEET,
        "fleet/page",
        (TopicName.PRESENCE, TopicName.LIVE, TopicName.SNAPSHOT),
        watch.receive,
    )
    upkeep = Upkeep(rows, clock, silences_of(settings, clock))
    watch.note_maintenance(upkeep.all())
    numbers, enrolments = Numbers(rows, clock), open_enrolments(settings)
    known = Known(watch, rows, numbers, upkeep, enrolments, clock, series)
    door = Door(Accounts(rows, clock), Keys(rows, clock), Audit(rows, clock), clock)
    csrf = Csrf(settings.root / "session.key")
    entrance = Entrance(door, csrf, hosts_of(settings.page_port, settings.public_url))
    return Site(settings, known, entrance), watch, link, alerting


def silences_of(settings: FleetSettings, clock: Clock) -> Silences | None:
    notify = settings.alerts.notify
    if not notify.alertmanager:
        return None
    return AlertmanagerSilences(Alertmanager(notify, settings.page_url), clock)


def heard_of(watch: Watch, clock: Clock) -> list[RobotNow]:
    boards = list(watch.boards.values())
    return [robot_now(one.robot, clock, in_maintenance=one.in_maintenance) for one in boards]


def open_enrolments(settings: FleetSettings) -> Enrolments | None:
    """Only a fleet with an authority of its own can certify; elsewhere its operators do."""
    authority = Authority(settings.pki)
    return Enrolments(settings.root, authority) if authority.can_sign else None


def open_enrolment_port(settings: FleetSettings) -> uvicorn.Server | None:
    enrolments = open_enrolments(settings)
    if enrolments is None:
        return None
    pair = Authority(settings.pki).issue_enrolment_server()
    site = EnrolmentSite(enrolments, SystemClock())
    return enrolment_server(site, pair, settings.page_host, settings.enrolment_port)


def sending_on(settings: FleetSettings) -> list[Coroutine[Any, Any, None]]:
    """Journeys of tasks, to a tool of other makers, where the profile names one."""
    if not settings.otlp_url:
        return []
    from fleet.traces.otlp import Exporter  # its messages take a while to import

    return [Exporter(settings.otlp_url, open_rows(settings.rows_url)).run()]


async def serve(settings: FleetSettings) -> None:
    site, watch, link, alerting = build(settings)
    link.start()
    watching = asyncio.gather(watch.run(), alerting.run(), *sending_on(settings))
    server = uvicorn.Server(
        uvicorn.Config(
            site.app,
            host=settings.page_host,
            port=settings.page_port,
            log_level="warning",
            access_log=False,
            proxy_headers=bool(settings.public_url),  # from a proxy on this machine only
            timeout_graceful_shutdown=1,
        )
    )
    asking = open_enrolment_port(settings)
    enrolling = None if asking is None else asyncio.create_task(asking.serve())
    log.info("page at http://%s:%s/", settings.page_host, settings.page_port)
    await server.serve()
    if asking is not None and enrolling is not None:
        asking.should_exit = True
        await enrolling
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    link.stop()


def main() -> None:
    sys.setswitchinterval(SWITCH_S)
    launch("fleetd", lambda settings: asyncio.run(serve(settings)), StoreUnavailableError, OSError)


if __name__ == "__main__":
    main()
