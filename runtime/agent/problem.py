"""Errors of the local API as problem+json (RFC 9457): what, why, what it means, what to try."""

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class ProblemError(Exception):
    def __init__(
        self, status: int, kind: str, title: str, detail: str, **extra: str | int | list[str]
    ) -> None:
        super().__init__(title)
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.extra = extra


def response_of(problem: ProblemError) -> JSONResponse:
    return JSONResponse(
        {
            "type": f"urn:bedplate:problem:{problem.kind}",
            "title": problem.title,
            "status": problem.status,
            "detail": problem.detail,
            **problem.extra,
        },
        status_code=problem.status,
        media_type=MEDIA_TYPE,
    )


async def handle_problem(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)
    return response_of(error)


async def handle_http(_request: Request, error: Exception) -> JSONResponse:
    """What the web framework refuses by itself: unknown paths, wrong methods, unreadable bodies."""
    assert isinstance(error, HTTPException)
    return response_of(
        ProblemError(
            error.status_code,
            "refused",
            "the request is refused",
            f"{error.detail}; nothing was done; see /openapi.json",
        )
    )


async def handle_invalid(_request: Request, error: Exception) -> JSONResponse:
    """Bodies that do not fit the schema: every mistake at once."""
    problems = [
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
        for item in getattr(error, "errors", list)()
    ]
    return response_of(
        ProblemError(
            422,
            "invalid_request",
            "the request does not fit the API",
            "; ".join(problems) + "; nothing was done; see /openapi.json",
            problems=problems,
        )
    )
