"""Wishes of the page, forwarded to a robot on this machine over its own Unix sockets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

TIMEOUT_S = 4.0
CLEARED = "ok"


@dataclass(frozen=True)
class Reply:
    """What the robot answered, as people read it."""

    status: int
    text: str
    body: Any = None

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300


async def ask(socket: Path, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
    if not socket.exists():
        return Reply(503, f"{socket.name} is not there: that process of the robot is not running")
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    try:
        async with httpx.AsyncClient(transport=transport, timeout=TIMEOUT_S) as client:
            answer = await client.request(method, f"http://robot{path}", json=body)
    except httpx.TimeoutException:
        return Reply(504, f"{socket.name} did not answer within {TIMEOUT_S:.0f} s")
    except httpx.HTTPError as error:
        return Reply(502, f"{socket.name} cannot be asked: {error}")
    return _reply(answer)


def _reply(answer: httpx.Response) -> Reply:
    try:
        body = answer.json()
    except ValueError:
        return Reply(502, "the robot answered with something that is not JSON")
    if answer.is_success:
        return Reply(answer.status_code, "done", body)
    return Reply(answer.status_code, _reason(body), body)


def _reason(body: Any) -> str:
    """Problem details (RFC 9457) or a plain error."""
    if isinstance(body, dict):
        words = [str(body[key]) for key in ("title", "detail", "error") if body.get(key)]
        if words:
            return ": ".join(words)
    return "the robot refused"


async def fault_listing(socket: Path) -> list[dict[str, Any]]:
    """Components that can be broken; empty where nothing answers sensibly."""
    reply = await ask(socket, "GET", "/faults")
    if not reply.is_good or not isinstance(reply.body, list):
        return []
    return [
        row
        for row in reply.body
        if isinstance(row, dict)
        and isinstance(row.get("component"), str)
        and isinstance(row.get("kinds"), list)
    ]


async def clear_faults(socket: Path) -> Reply:
    cleared = []
    for row in await fault_listing(socket):
        if row.get("active"):
            wish = {"component": row["component"], "kind": CLEARED}
            reply = await ask(socket, "POST", "/faults", wish)
            if not reply.is_good:
                return reply
            cleared.append(row["component"])
    return Reply(200, f"cleared: {', '.join(cleared)}" if cleared else "nothing was broken")
