"""The web side put together: pages, API, door. `app` is what uvicorn serves."""

from dataclasses import dataclass

from fastapi import FastAPI
from sqlalchemy.engine import Engine

from fleet.api.app import VERSION, add_api
from fleet.api.deeds import DeedsApi
from fleet.api.incidents import IncidentsApi
from fleet.api.people import PeopleApi
from fleet.api.replies import TargetsReply
from fleet.api.robots import RobotsApi
from fleet.api.traces import TracesApi
from fleet.clock import Clock
from fleet.enrolment import Enrolments
from fleet.incidents.desk import Desk
from fleet.incidents.watch import Incidents
from fleet.numbers import Numbers
from fleet.page.event_pages import EventPages
from fleet.page.fleet_pages import FleetPages
from fleet.page.frame import Frame, Streams
from fleet.page.incident_pages import IncidentPages
from fleet.page.robot_pages import RobotPages
from fleet.page.task_pages import TaskPages
from fleet.people.admin_pages import AdminPages
from fleet.people.door import Door
from fleet.people.pages import PeoplePages
from fleet.security import Csrf, Guard, Hosts
from fleet.settings import FleetSettings
from fleet.store.series import SeriesStore
from fleet.upkeep import Upkeep
from fleet.watch import Watch
from fleet.wishes import Wishes


@dataclass(frozen=True)
class Entrance:
    """How people come in, and under which names the page answers."""

    door: Door
    csrf: Csrf
    hosts: Hosts


@dataclass(frozen=True)
class Known:
    """Where pages and API look things up."""

    watch: Watch
    rows: Engine
    numbers: Numbers
    upkeep: Upkeep
    enrolments: Enrolments | None
    clock: Clock
    series: SeriesStore | None = None  # None: an incident is opened without the events before it


class Site:
    def __init__(self, settings: FleetSettings, known: Known, entrance: Entrance) -> None:
        door, csrf, hosts = entrance.door, entrance.csrf, entrance.hosts
        app = FastAPI(
            title="Bedplate fleet", version=VERSION, docs_url=None, redoc_url=None, openapi_url=None
        )
        frame, streams = Frame(csrf, hosts), Streams(door, hosts)
        app.mount("/static", frame.static, name="static")
        FleetPages(
            settings, known.watch, known.numbers, known.enrolments, known.clock, frame, streams
        ).add_to(app)
        wishes = Wishes(settings, known.watch)
        RobotPages(wishes, frame, streams).add_to(app)
        TaskPages(known.rows, frame).add_to(app)
        EventPages(known.rows, known.clock, frame).add_to(app)
        desk = _desk(settings, known)
        IncidentPages(desk, csrf, hosts, frame).add_to(app)
        PeoplePages(door, csrf, hosts, frame.pages).add_to(app)
        AdminPages(door, csrf, hosts, frame.pages).add_to(app)
        targets = TargetsReply.model_validate(settings.targets.model_dump())
        add_api(
            app,
            RobotsApi(known.watch, known.rows, known.numbers, targets),
            DeedsApi(wishes, known.upkeep),
            TracesApi(known.rows),
            IncidentsApi(desk),
            PeopleApi(door),
        )
        self.fast = app
        self.app = Guard(app, app.routes, csrf, door, hosts)


def _desk(settings: FleetSettings, known: Known) -> Desk:
    def site_of(robot_id: str) -> str | None:
        board = known.watch.boards.get(robot_id)
        return None if board is None else board.robot.site

    incidents = Incidents(settings.alerts, known.rows, known.series)
    return Desk(incidents, settings.alerts.calm_s, known.clock, site_of)
