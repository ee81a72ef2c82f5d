"""Pages of incidents: what is open, and one with its steps, its timeline and its end.

Forms that need no script: each answers with the page again, or with why nothing was done.
"""

import asyncio
import re
from collections.abc import Callable
from html import escape
from typing import Annotated

from fastapi import FastAPI, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from fleet.alerts.sample import FLEET
from fleet.api.incidents import ID_MAX, Document
from fleet.incidents.decide import affected
from fleet.incidents.desk import Desk, NoIncidentError, RefusedError
from fleet.incidents.export import export, lasted, time_of
from fleet.incidents.fold import fold
from fleet.incidents.model import Incident
from fleet.incidents.runbook import ROOT, shown
from fleet.page.frame import Frame
from fleet.problem import ProblemError
from fleet.security import Csrf, Hosts, is_own_form, note

SHOWN = 50
_LINK = re.compile(r"\[([^\]]{1,80})\]\(([\w-]{1,80})\.md\)")
_CODE = re.compile(r"`([^`]{1,200})`")
STALE = "That form was too old, nothing was done. Please try again."
EMPTY = "Please write something."
Number = Annotated[int, Path(ge=1, le=ID_MAX)]
Before = Annotated[int | None, Query(ge=1, le=ID_MAX)]
Short = Annotated[str, Form(max_length=300)]
Long = Annotated[str, Form(max_length=5000)]


class IncidentPages:
    def __init__(self, desk: Desk, csrf: Csrf, hosts: Hosts, frame: Frame) -> None:
        self._desk = desk
        self._csrf, self._hosts = csrf, hosts
        self._frame = frame

    def add_to(self, app: FastAPI) -> None:
        at = "/incidents/{incident_id}"
        for path, page in (
            ("/incidents", self.incidents),
            (at, self.incident),
            (f"{at}/export", self.export),
        ):
            app.get(path, include_in_schema=False)(page)
        for path, form in (
            ("/incidents", self.open),
            (f"{at}/notes", self.note),
            (f"{at}/steps/{{number}}", self.settle),
            (f"{at}/close", self.close),
        ):
            app.post(path, include_in_schema=False)(form)

    async def incidents(self, request: Request, before: Before = None) -> HTMLResponse:
        return await self._list(request, "", before=before)

    async def incident(self, request: Request, incident_id: Number) -> HTMLResponse:
        return await self._one(request, incident_id, "")

    async def export(self, incident_id: Number) -> Document:
        found = await self._find(incident_id)
        name = f"incident-{incident_id}.md"
        return Document(
            export(found), headers={"content-disposition": f'attachment; filename="{name}"'}
        )

    async def open(
        self,
        request: Request,
        title: Short = "",
        subject: Short = FLEET,
        runbook: Short = "",
        token: Short = "",
    ) -> Response:
        if not is_own_form(request, self._csrf, self._hosts, token):
            return await self._list(request, STALE, 403)
        if not title.strip():
            return await self._list(request, "Please say in a line what is wrong.", 422)
        if runbook not in ("", *_runbooks()):
            return await self._list(request, "There is no such runbook.", 422)
        who, about = request.state.who.name, subject.strip() or FLEET
        note(request, about)
        try:
            made = await asyncio.to_thread(
                lambda: self._desk.open(title, who, subject=about, runbook=runbook)
            )
        except RefusedError as error:
            return await self._list(request, f"Nothing was done: {error}.", 409)
        return RedirectResponse(f"/incidents/{made}", 303)

    async def note(
        self, request: Request, incident_id: Number, text: Long = "", token: Short = ""
    ) -> Response:
        if not text.strip():
            return await self._one(request, incident_id, EMPTY, 422)
        who = request.state.who.name
        return await self._do(
            request, incident_id, token, lambda: self._desk.note(incident_id, text, who)
        )

    async def settle(
        self,
        request: Request,
        incident_id: Number,
        number: Annotated[int, Path(ge=1, le=999)],
        how: Short = "done",
        token: Short = "",
    ) -> Response:
        who, needed = request.state.who.name, how != "skip"
        return await self._do(
            request,
            incident_id,
            token,
            lambda: self._desk.settle(incident_id, number, who, needed=needed),
        )

    async def close(
        self,
        request: Request,
        incident_id: Number,
        cause: Long = "",
        prevention: Long = "",
        token: Short = "",
    ) -> Response:
        who = request.state.who.name
        return await self._do(
            request,
            incident_id,
            token,
            lambda: self._desk.close(incident_id, who, cause=cause, prevention=prevention),
            {"cause": cause, "prevention": prevention},
        )

    async def _do(
        self,
        request: Request,
        incident_id: int,
        token: str,
        act: Callable[[], None],
        written: dict[str, str] | None = None,
    ) -> Response:
        """`written` is kept when it was refused: nobody writes a cause twice."""
        if not is_own_form(request, self._csrf, self._hosts, token):
            return await self._one(request, incident_id, STALE, 403, written)
        try:
            await asyncio.to_thread(act)
        except NoIncidentError as error:
            raise ProblemError(404, "no_such_incident", str(error)) from error
        except RefusedError as error:
            text = f"Nothing was done: {error}."
            return await self._one(request, incident_id, text, 409, written)
        return RedirectResponse(f"/incidents/{incident_id}", 303)

    async def _find(self, incident_id: int) -> Incident:
        try:
            return await asyncio.to_thread(self._desk.find, incident_id)
        except NoIncidentError as error:
            raise ProblemError(404, "no_such_incident", str(error)) from error

    async def _list(
        self, request: Request, text: str, status: int = 200, *, before: int | None = None
    ) -> HTMLResponse:
        found = await asyncio.to_thread(self._desk.page, None, before, SHOWN)
        page = self._frame.render(
            "incidents.html",
            request,
            found=found,
            older=found[-1].incident_id if len(found) == SHOWN else None,
            runbooks=_runbooks(),
            text=text,
            time_of=time_of,
            lasted=lasted,
            affected=affected,
        )
        page.status_code = status
        return page

    async def _one(
        self,
        request: Request,
        incident_id: int,
        text: str,
        status: int = 200,
        written: dict[str, str] | None = None,
    ) -> HTMLResponse:
        found = await self._find(incident_id)
        about = affected(found)
        robot_id = next((one for one in about if one != FLEET), None)
        page = self._frame.render(
            "incident.html",
            request,
            one=found,
            timeline=fold(found.timeline),
            about=about,
            reasons=self._desk.before_closing(found),
            written=written or {},
            text=text,
            time_of=time_of,
            lasted=lasted,
            shown=lambda command: shown(command, robot_id),
            worded=worded,
        )
        page.status_code = status
        return page


def worded(text: str) -> str:
    """Markup of a step as its page has it: links to other runbooks, and names in another type."""
    linked = _LINK.sub(r'<a href="/runbooks/\2">\1</a>', escape(text))
    return _CODE.sub(r"<code>\1</code>", linked)


def _runbooks() -> list[str]:
    return sorted(f"docs/runbooks/{path.name}" for path in (ROOT / "docs/runbooks").glob("*.md"))
