"""Errors as problem details (RFC 9457): what, why, what it means, what to try."""

from collections.abc import Mapping

from fastapi.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"


class ProblemError(Exception):
    def __init__(
        self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})


def problem(
    status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    body = {
        "type": f"urn:bedplate:problem:{kind}",
        "title": kind.replace("_", " "),
        "status": status,
        "detail": detail,
    }
    return JSONResponse(body, status, dict(headers or {}), MEDIA_TYPE)


def response_of(error: ProblemError) -> JSONResponse:
    return problem(error.status, error.kind, error.detail, error.headers)
