"""fleetd: the robot's page, its stream of changes, and the wishes that go back to the robot."""

import argparse
import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator
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
from fleet.pki import Authority
from fleet.security import Guard, Sessions, local_hosts, session_of, set_session
from fleet.settings import FleetSettings, RobotEntry, SettingsError, read_settings
from fleet.store.books import Books
from fleet.store.series import StoreUnavailableError
from fleet.watch import TICK_S, Board, Watch
from ota.mender import MenderError
from runtime.topics import Party, TopicName

log = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
RUNBOOKS = Path(__file__).parent.parent / "docs" / "runbooks"
HEARTBEAT_TICKS = round(10 / TICK_S)
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


class Site:
    """The handlers. `app` is what uvicorn serves."""

    def __init__(
        self,
        settings: FleetSettings,
        watch: Watch,
        sessions: Sessions,
        enrolments: Enrolments | None = None,
    ) -> None:
        self._settings = settings
        self._enrolments = enrolments
        self._watch = watch
        self._sessions = sessions
        self._streams = 0
        self._pages = Environment(
            loader=FileSystemLoader(PAGE / "templates"), autoescape=select_autoescape()
        )
        app = FastAPI(title="Bedplate fleet", version="1.0.0", docs_url=None, redoc_url=None)
        app.mount("/static", StaticFiles(directory=PAGE / "static"), name="static")
        self._add_routes(app)
        self.app = Guard(app, sessions, local_hosts(settings.page_port))

    def _add_routes(self, app: FastAPI) -> None:
        app.get("/", include_in_schema=False)(self.index)
        app.get("/robots/{robot_id}", response_class=HTMLResponse)(self.page)
        app.get("/robots/{robot_id}/stream", response_class=StreamingResponse)(self.stream)
        app.get("/robots/{robot_id}/live")(self.live)
        app.get("/robots/{robot_id}/events")(self.events)
        app.get("/robots/{robot_id}/accounting")(self.accounting)
        app.get("/robots/{robot_id}/snapshot/{camera}", response_class=Response)(self.snapshot)
        app.post("/robots/{robot_id}/faults")(self.inject)
        app.post("/robots/{robot_id}/faults/clear")(self.clear)
        app.post("/robots/{robot_id}/stop")(self.stop)
        app.post("/robots/{robot_id}/rearm")(self.rearm)
        app.post("/robots/{robot_id}/tasks")(self.task)
        app.post("/enrolments/{robot_id}/approve")(self.approve)
        app.get("/runbooks/{name}", response_class=PlainTextResponse)(self.runbook)
        app.get("/healthz")(self.health)

    async def index(self, request: Request) -> Response:
        boards, asking = self._watch.boards, await asyncio.to_thread(self._asking)
        if len(boards) == 1 and not asking:
            return RedirectResponse(f"/robots/{next(iter(boards))}")
        session = session_of(request.headers) or self._sessions.new()
        token = self._sessions.token(session)
        page = self._pages.get_template("index.html")
        response = HTMLResponse(page.render(boards=boards, asking=asking, token=token))
        set_session(response, session)
        return response

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
        session = session_of(request.headers) or self._sessions.new()
        view = await self._watch.load(board)
        page = self._pages.get_template("robot.html").render(
            robot=board.robot,
            entry=board.entry,
            view=view,
            cameras=self._cameras(board),
            token=self._sessions.token(session),
        )
        response = HTMLResponse(page, headers={"cache-control": "no-store"})
        set_session(response, session)
        return response

    async def stream(self, robot_id: str) -> StreamingResponse:
        board = self._board(robot_id)
        if self._streams >= STREAMS_MAX:
            raise HTTPException(503, f"{STREAMS_MAX} pages are open already; close one")
        return StreamingResponse(
            self._changes(board),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def _changes(self, board: Board) -> AsyncIterator[bytes]:
        """Only what has changed for this one viewer, four times a second."""
        self._streams += 1
        board.viewers += 1
        try:
            shown, quiet = View(), 0
            board.view = await self._watch.load(board)
            while True:
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
    sessions = Sessions(settings.root / "session.key")
    site = Site(settings, watch, sessions, open_enrolments(settings))
    return site, watch, link


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
