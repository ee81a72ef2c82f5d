"""Answers in the server's words: errors, pages of lists, bodies read and bounded."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.ota.mender_double.state import new_id

BODY_MAX_BYTES = 1024 * 1024
PER_PAGE_MAX = 500


class Refused(Exception):
    """The answer, thrown from wherever it became clear."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def error(status: int, text: str) -> Response:
    return JSONResponse({"error": text, "request_id": new_id()}, status)


def empty(status: int = 204, **headers: str) -> Response:
    return Response(status_code=status, headers=headers)


def created(location: str) -> Response:
    return empty(201, Location=location)


async def json_body(request: Request) -> Any:
    """The body as JSON; 413 beyond a mebibyte, 400 where it is none."""
    taken = bytearray()
    async for chunk in request.stream():
        taken += chunk
        if len(taken) > BODY_MAX_BYTES:
            raise Refused(413, "http: request body too large")
    try:
        return json.loads(bytes(taken), parse_constant=_no_constant)
    except (ValueError, RecursionError) as problem:
        raise Refused(400, f"failed to decode JSON: {problem}") from problem


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def page_of(request: Request, default: int = 20) -> tuple[int, int]:
    page, per_page = number(request, "page", 1), number(request, "per_page", default)
    if page < 1:
        raise Refused(400, "Can't parse param page")
    if not 1 <= per_page <= PER_PAGE_MAX:
        raise Refused(400, "Can't parse param per_page")
    return page, per_page


def number(request: Request, name: str, default: int) -> int:
    raw = request.query_params.get(name)
    if raw is None:
        return default
    if not raw.isascii() or not raw.isdigit() or len(raw) > 18:
        raise Refused(400, f"Can't parse param {name}")
    return int(raw)


def cut(rows: Sequence[Any], page: int, per_page: int) -> list[Any]:
    return list(rows[(page - 1) * per_page : page * per_page])


def counted(request: Request, rows: Sequence[Any], page: int, per_page: int) -> dict[str, str]:
    """Headers of lists that know their length: inventory and deployments."""
    last = max(1, -(-len(rows) // per_page))
    links = _links(request, page, per_page, more=page < last)
    links.append(_link(request, last, per_page, "last"))
    return {"X-Total-Count": str(len(rows)), "Link": ", ".join(links)}


def uncounted(request: Request, shown: int, page: int, per_page: int) -> dict[str, str]:
    """Headers of lists that do not: a full page offers a next one, though it may be empty."""
    return {"Link": ", ".join(_links(request, page, per_page, more=shown == per_page))}


def _links(request: Request, page: int, per_page: int, *, more: bool) -> list[str]:
    links = [_link(request, 1, per_page, "first")]
    if page > 1:
        links.append(_link(request, page - 1, per_page, "prev"))
    if more:
        links.append(_link(request, page + 1, per_page, "next"))
    return links


def _link(request: Request, page: int, per_page: int, relation: str) -> str:
    kept = [(k, v) for k, v in request.query_params.multi_items() if k not in ("page", "per_page")]
    query = urlencode([*kept, ("page", page), ("per_page", per_page)])
    return f'<{quote(request.url.path)}?{query}>; rel="{relation}"'
