"""fleetd: the robot's page, its stream of changes, and the wishes that go back to the robot."""

import argparse
import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, select_autoescape
from pydantic import BaseModel, ConfigDict, Field

from fleet.clock import SystemClock
from fleet.enrolment import Enrolment, EnrolmentError, Enrolments, State
from fleet.enrolment_api import EnrolmentSite, enrolment_server
from fleet.ingestd import open_store
from fleet.local import Reply, ask, clear_faults
from fleet.mender import announce, failed
from fleet.mqtt import FleetClient
from fleet.page.view import View
from fleet.people.accounts import Accounts
from fleet.people.audit import Audit
from fleet.people.door import Door
from fleet.people.keys import Keys
from fleet.people.pages import PeoplePages
from fleet.people.roles import Principal, Role
from fleet.pki import Authority
from fleet.problem import ProblemError, response_of
from fleet.security import Csrf, Guard, Hosts, hosts_of, secret_of
from fleet.settings import FleetSettings, RobotEntry, SettingsError, read_settings
from fleet.store.books import Books
from fleet.store.rows import open_rows
from fleet.store.series import StoreUnavailableError
from fleet.watch import TICK_S, Board, Watch
from ota.mender import MenderError
from runtime.topics import Party, TopicName

log = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
RUNBOOKS = Path(__file__).parent.parent / "docs" / "runbooks"
HEARTBEAT_TICKS = round(10 / TICK_S)
STILL_IN_TICKS = round(5 / TICK_S)
STREAMS_MAX = 50
EXIT_USAGE = 2

Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]{0,47}$")]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FaultWish(Body):
    component: Word
    kind: Word


class StopWish(Body):
    level: Literal["controlled", "hold", "power_off"] = "controlled"


class TaskWish(Body):
    skill: Word = "pick_place"
    high_value: bool = False


@dataclass(frozen=True)
class Entrance:
    """How people come in, and under which names the page answers."""

    door: Door
    csrf: Csrf
    hosts: Hosts


class Site:
    """The handlers. `app` is what uvicorn serves."""

    def __init__(
        self,
        settings: FleetSettings,
        watch: Watch,
        entrance: Entrance,
        enrolments: Enrolments | None = None,
    ) -> None:
        self._settings = settings
        self._enrolments = enrolments
        self._watch = watch
        self._door, self._csrf, self._hosts = entrance.door, entrance.csrf, entrance.hosts
        self._streams = 0
        self._pages = Environment(
            loader=FileSystemLoader(PAGE / "templates"), autoescape=select_autoescape()
        )
        app = FastAPI(title="Bedplate fleet", version="1.0.0", docs_url=None, redoc_url=None)
        app.mount("/static", StaticFiles(directory=PAGE / "static"), name="static")
        self._add_routes(app)
        PeoplePages(self._door, self._csrf, self._hosts, self._pages).add_to(app)
        app.add_exception_handler(ProblemError, _show_problem)
        self.routes = app.routes
        self.app = Guard(app, app.routes, self._csrf, self._door, self._hosts)

    def _add_routes(self, app: FastAPI) -> None:
        """Not in the schema: what pages ask of us may change with them, the API may not."""
        get: tuple[tuple[str, Callable[..., Any], type[Response]], ...] = (
            ("/", self.index, HTMLResponse),
            ("/robots/{robot_id}", self.page, HTMLResponse),
            ("/robots/{robot_id}/stream", self.stream, StreamingResponse),
            ("/robots/{robot_id}/live", self.live, JSONResponse),
            ("/robots/{robot_id}/events", self.events, JSONResponse),
            ("/robots/{robot_id}/accounting", self.accounting, JSONResponse),
            ("/robots/{robot_id}/snapshot/{camera}", self.snapshot, Response),
            ("/runbooks/{name}", self.runbook, PlainTextResponse),
            ("/healthz", self.health, JSONResponse),
        )
        post: tuple[tuple[str, Callable[..., Any]], ...] = (
            ("/robots/{robot_id}/faults", self.inject),
            ("/robots/{robot_id}/faults/clear", self.clear),
            ("/robots/{robot_id}/stop", self.stop),
            ("/robots/{robot_id}/rearm", self.rearm),
            ("/robots/{robot_id}/tasks", self.task),
            ("/enrolments/{robot_id}/approve", self.approve),
        )
        for path, handler, kind in get:
            app.get(path, response_class=kind, include_in_schema=False)(handler)
        for path, handler in post:
            app.post(path, include_in_schema=False)(handler)

    async def index(self, request: Request) -> Response:
        boards, asking = self._watch.boards, await asyncio.to_thread(self._asking)
        if len(boards) == 1 and not asking:
            return RedirectResponse(f"/robots/{next(iter(boards))}")
        return self._render("index.html", request, boards=boards, asking=asking)

    def _render(self, name: str, request: Request, **known: Any) -> HTMLResponse:
        who: Principal = request.state.who
        token = self._csrf.token(self._hosts.session_of(request.headers) or "")
        may = {role.value: who.role.covers(role) for role in Role}
        return HTMLResponse(
            self._pages.get_template(name).render(who=who, may=may, token=token, **known)
        )

    def _asking(self) -> list[Enrolment]:
        """Robots that wait for an operator."""
        rows = [] if self._enrolments is None else self._enrolments.all()
        return [row for row in rows if row.state is State.ASKED]

    async def approve(self, robot_id: str) -> JSONResponse:
        """The click: this robot is one of ours."""
        if self._enrolments is None:
            raise HTTPException(404, "this fleet has no authority of its own; approve it there")
        now_s = SystemClock().wall_ns() // 1_000_000_000
        try:
            await asyncio.to_thread(self._enrolments.approve, robot_id, now_s)
        except EnrolmentError as error:
            return JSONResponse({"ok": False, "message": str(error)}, 409)
        try:
            await asyncio.to_thread(announce, self._settings, self._enrolments, robot_id)
        except MenderError as error:
            return JSONResponse({"ok": False, "message": failed(robot_id, error)}, 502)
        return JSONResponse({"ok": True, "message": f"{robot_id} is enrolled"})

    async def page(self, robot_id: str, request: Request) -> Response:
        board = self._board(robot_id)
        view = await self._watch.load(board)
        return self._render(
            "robot.html",
            request,
            robot=board.robot,
            entry=board.entry,
            view=view,
            cameras=self._cameras(board),
        )

    async def stream(self, robot_id: str, request: Request) -> StreamingResponse:
        board = self._board(robot_id)
        if self._streams >= STREAMS_MAX:
            raise HTTPException(503, f"{STREAMS_MAX} pages are open already; close one")
        return StreamingResponse(
            self._changes(board, secret_of(request.headers, self._hosts)),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def _changes(self, board: Board, secret: str | None) -> AsyncIterator[bytes]:
        """Only what has changed for this one viewer, four times a second, while they are in."""
        self._streams += 1
        board.viewers += 1
        try:
            shown, quiet, ticks = View(), 0, 0
            board.view = await self._watch.load(board)
            while ticks % STILL_IN_TICKS or await self._door.still_in(secret):
                ticks += 1
                view = board.view
                changes = view.changes(shown)
                shown = view
                quiet += 1
                if any(changes.values()):
                    quiet = 0
                    yield b"data: " + orjson.dumps(changes) + b"\n\n"
                elif quiet >= HEARTBEAT_TICKS:
                    quiet = 0
                    yield b": still here\n\n"
                await asyncio.sleep(TICK_S)
        finally:
            board.viewers -= 1
            self._streams -= 1

    async def live(self, robot_id: str) -> JSONResponse:
        return JSONResponse(self._board(robot_id).robot.live)

    async def events(self, robot_id: str, limit: Annotated[int, Field(ge=1, le=1000)] = 100) -> Any:
        self._board(robot_id)
        return await self._watch.events(robot_id, limit)

    async def accounting(self, robot_id: str) -> Any:
        self._board(robot_id)
        return await self._watch.accounting(robot_id)

    async def snapshot(self, robot_id: str, camera: str) -> Response:
        snapshot = self._board(robot_id).robot.snapshots.get(camera)
        if snapshot is None:
            raise HTTPException(404, "no picture of this camera has come yet")
        headers = {"cache-control": "no-store"}
        return Response(snapshot.jpeg, media_type="image/jpeg", headers=headers)

    async def inject(self, robot_id: str, wish: FaultWish) -> JSONResponse:
        entry = self._simulated(robot_id)
        reply = await ask(entry.faults_socket, "POST", "/faults", wish.model_dump())
        if reply.is_good and isinstance(reply.body, dict):
            reply = Reply(200, f"{wish.component}: {reply.body.get('effect', wish.kind)}")
        return _answer(reply)

    async def clear(self, robot_id: str) -> JSONResponse:
        return _answer(await clear_faults(self._simulated(robot_id).faults_socket))

    async def stop(self, robot_id: str, wish: StopWish) -> JSONResponse:
        socket = self._local(robot_id).agent_socket
        reply = await ask(socket, "POST", "/v1/stop", wish.model_dump())
        return _answer(Reply(reply.status, "stop requested") if reply.is_good else reply)

    async def rearm(self, robot_id: str) -> JSONResponse:
        reply = await ask(self._local(robot_id).agent_socket, "POST", "/v1/rearm", {})
        if reply.is_good and isinstance(reply.body, dict) and reply.body.get("remaining"):
            causes = ", ".join(str(cause) for cause in reply.body["remaining"])
            reply = Reply(409, f"not re-armed: {causes.replace('_', ' ')} is still there")
        return _answer(Reply(reply.status, "re-armed") if reply.is_good else reply)

    async def task(self, robot_id: str, wish: TaskWish) -> JSONResponse:
        socket = self._local(robot_id).agent_socket
        reply = await ask(socket, "POST", "/v1/tasks", wish.model_dump())
        return _answer(Reply(reply.status, "task accepted") if reply.is_good else reply)

    async def runbook(self, name: str) -> PlainTextResponse:
        known = {path.stem: path for path in RUNBOOKS.glob("*.md")}
        if name not in known:
            raise HTTPException(404, f"no runbook {name!r}")
        return PlainTextResponse(known[name].read_text())

    async def health(self) -> dict[str, Any]:
        return {"robots": len(self._watch.boards), "streams": self._streams}

    def _cameras(self, board: Board) -> list[str]:
        return sorted({"cell", "bin", *board.robot.snapshots}, key=lambda n: (n != "cell", n))

    def _board(self, robot_id: str) -> Board:
        board = self._watch.boards.get(robot_id)
        if board is None:
            raise HTTPException(404, f"no robot {robot_id!r} has been heard")
        return board

    def _local(self, robot_id: str) -> RobotEntry:
        self._board(robot_id)
        entry = self._settings.robot(robot_id)
        if entry is None:
            raise HTTPException(409, "this robot is not on this machine; ask it on its own")
        return entry

    def _simulated(self, robot_id: str) -> RobotEntry:
        entry = self._local(robot_id)
        if not entry.simulated:
            raise HTTPException(409, "this robot is not simulated: nothing of it can be broken")
        return entry


async def _show_problem(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)
    return response_of(error)


def _answer(reply: Reply) -> JSONResponse:
    status = 200 if reply.is_good else reply.status
    return JSONResponse({"ok": reply.is_good, "message": reply.text}, status)


def build(settings: FleetSettings) -> tuple[Site, Watch, FleetClient]:
    store, books = open_store(settings), Books(settings.books_url)
    watch = Watch(settings, store, books, SystemClock())
    link = FleetClient(
        settings,
        Party.FLEET,
        "fleet/page",
        (TopicName.PRESENCE, TopicName.LIVE, TopicName.SNAPSHOT),
        watch.receive,
    )
    site = Site(settings, watch, open_entrance(settings), open_enrolments(settings))
    return site, watch, link


def open_entrance(settings: FleetSettings) -> Entrance:
    clock, rows = SystemClock(), open_rows(settings.rows_url)
    door = Door(Accounts(rows, clock), Keys(rows, clock), Audit(rows, clock), clock)
    csrf = Csrf(settings.root / "session.key")
    return Entrance(door, csrf, hosts_of(settings.page_port, settings.public_url))


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


async def serve(settings: FleetSettings) -> None:
    site, watch, link = build(settings)
    link.start()
    watching = asyncio.create_task(watch.run())
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
    parser = argparse.ArgumentParser(prog="fleetd")
    parser.add_argument("--fleet-dir", type=Path, default=Path("var/fleet"))
    args, _rest = parser.parse_known_args()
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s fleetd %(levelname)s %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each question is too much
    try:
        asyncio.run(serve(read_settings(args.fleet_dir.absolute())))
    except (SettingsError, StoreUnavailableError, OSError) as error:
        log.error("%s", error)
        sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    main()
