"""The API put together: its routes, its errors, its description."""

from typing import Any, Protocol

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fleet.api import ROOT
from fleet.api.replies import Problem
from fleet.problem import MEDIA_TYPE, ProblemError, problem, response_of
from fleet.store.series import StoreUnavailableError

VERSION = "1.0.0"
ABOUT = (
    "Robots, events, traces, alerts and people of one fleet. Log in at /login, or send an API"
    " token: `Authorization: Bearer bp_…`. Lists are paged: pass `next` back as `cursor`. Errors"
    " are problem details (RFC 9457)."
)
EVERYWHERE = {
    401: "nobody is logged in, or the token is not good",
    403: "logged in, but without the right",
    429: "too often; `Retry-After` says when again",
    503: "the rows or the series cannot be read just now",
}
WITH_INPUT = {400: "the cursor is none of this list", 422: "the request does not fit"}
WITH_PATH = {404: "there is no such thing"}
WITH_CHANGE = {
    409: "it cannot be done just now",
    411: "the request does not say how long it is",
    413: "the request is too long",
}
WITH_ROBOT = {
    502: "the robot gave no answer that makes sense",
    504: "the robot did not answer in time; it may still be done",
}
ASKS_THE_ROBOT = ("/stop", "/rearm", "/tasks")


class Part(Protocol):
    def add_to(self, router: APIRouter) -> None: ...


def add_api(app: FastAPI, *parts: Part) -> None:
    router = APIRouter(prefix=ROOT)
    for part in parts:
        part.add_to(router)
    app.get(f"{ROOT}/openapi.json", include_in_schema=False)(lambda: JSONResponse(describe(app)))
    app.router.routes.extend(router.routes)  # as they are: the door reads their paths
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StoreUnavailableError, _unavailable)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]


def describe(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1, with the errors that each operation can answer."""
    if app.openapi_schema is None:
        found = get_openapi(
            title="Bedplate fleet", version=VERSION, description=ABOUT, routes=app.routes
        )
        schemas = found["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["Problem"] = Problem.model_json_schema()
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
        for path, operations in found["paths"].items():
            for method, operation in operations.items():
                _add_errors(path, method, operation)
        app.openapi_schema = found
    return app.openapi_schema


def _add_errors(path: str, method: str, operation: dict[str, Any]) -> None:
    errors = dict(EVERYWHERE)
    if operation.get("parameters") or "requestBody" in operation:
        errors |= WITH_INPUT
    if "{" in path:
        errors |= WITH_PATH
    if method != "get":
        errors |= WITH_CHANGE
    if method == "post" and path.endswith(ASKS_THE_ROBOT):
        errors |= WITH_ROBOT
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status, why in sorted(errors.items()):
        operation["responses"][str(status)] = {"description": why, "content": content}


async def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return response_of(error)


async def _http(_request: Request, error: Exception) -> Response:
    """What the framework refuses by itself: unknown paths, wrong methods, unreadable bodies."""
    assert isinstance(error, HTTPException)
    kind = "not_found" if error.status_code == 404 else "refused"
    return problem(error.status_code, kind, f"{error.detail}", error.headers)


async def _invalid(_request: Request, error: Exception) -> Response:
    """Every mistake at once."""
    assert isinstance(error, RequestValidationError)
    mistakes = [
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()
    ]
    return problem(422, "invalid_request", f"{'; '.join(mistakes)}; nothing was done")


async def _unavailable(_request: Request, error: Exception) -> Response:
    return problem(503, "store_unavailable", str(error), {"retry-after": "5"})
