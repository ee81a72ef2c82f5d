"""The port on which robots ask to be enrolled: TLS with the fleet's own certificate, one path.

Apart from the page, whose visitors are people on this machine: here a robot anywhere in the site's
network shows its token, and nothing else can be asked.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from fleet.clock import Clock
from fleet.enrolment import (
    CSR_MAX_BYTES,
    ROBOT_ID_MAX,
    TOKEN_MAX,
    EnrolmentRefusedError,
    Enrolments,
    Refusal,
)
from fleet.pki import KeyPair

log = logging.getLogger(__name__)

BODY_MAX_BYTES = 16_384
# Whoever guesses tokens gets this many tries a minute, all of them together.
REFUSALS_MAX, REFUSALS_WINDOW_S = 30, 60
NS_PER_S = 1_000_000_000
STATUS = {Refusal.UNKNOWN: 403, Refusal.EXPIRED: 403, Refusal.USED: 409, Refusal.REQUEST: 400}


class Ask(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    robot_id: Annotated[str, Field(min_length=1, max_length=ROBOT_ID_MAX)]
    token: Annotated[str, Field(min_length=1, max_length=TOKEN_MAX)]
    csr_pem: Annotated[str, Field(min_length=1, max_length=CSR_MAX_BYTES)]
    # Of the robot's update client; a robot of an earlier version has none to tell.
    update_key_pem: Annotated[str, Field(max_length=CSR_MAX_BYTES)] = ""


class EnrolmentSite:
    """`app` is what uvicorn serves."""

    def __init__(self, enrolments: Enrolments, clock: Clock) -> None:
        self._enrolments = enrolments
        self._clock = clock
        self._refused_at_ns: deque[int] = deque(maxlen=REFUSALS_MAX)
        self.app = FastAPI(title="Bedplate enrolment", openapi_url=None, docs_url=None)
        self.app.post("/enrol/v1")(self.ask)
        self.app.middleware("http")(self._limit)
        self.app.exception_handler(RequestValidationError)(self._invalid)

    async def ask(self, wish: Ask) -> JSONResponse:
        try:
            answer = await asyncio.to_thread(
                self._enrolments.ask,
                wish.robot_id,
                wish.token,
                wish.csr_pem,
                self._clock.wall_ns() // NS_PER_S,
                wish.update_key_pem,
            )
        except EnrolmentRefusedError as refused:
            self._note_refusal()
            log.warning("enrolment of %r refused: %s", wish.robot_id, refused.refusal)
            status = STATUS[refused.refusal]
            return JSONResponse({"error": refused.refusal, "message": str(refused)}, status)
        return JSONResponse({"state": answer.state, "certificate_pem": answer.certificate_pem})

    async def _limit(self, request: Request, call_next: Callable) -> JSONResponse:  # type: ignore[type-arg]
        length = request.headers.get("content-length", "")
        if not length.isdigit() or int(length) > BODY_MAX_BYTES:
            return JSONResponse({"error": "size", "message": "say how long it is, and less"}, 413)
        since_ns = self._clock.now_ns() - REFUSALS_WINDOW_S * NS_PER_S
        if len(self._refused_at_ns) == REFUSALS_MAX and self._refused_at_ns[0] > since_ns:
            return JSONResponse({"error": "busy", "message": "too many refusals; wait"}, 429)
        return await call_next(request)

    def _note_refusal(self) -> None:
        self._refused_at_ns.append(self._clock.now_ns())

    async def _invalid(self, _request: Request, _error: Exception) -> JSONResponse:
        """Nothing of what was sent is sent back: it may hold a token."""
        self._note_refusal()
        return JSONResponse({"error": "request", "message": "no enrolment request"}, 422)


def enrolment_server(site: EnrolmentSite, pair: KeyPair, host: str, port: int) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            site.app,
            host=host,
            port=port,
            ssl_certfile=str(pair.certificate),
            ssl_keyfile=str(pair.key),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            limit_concurrency=50,
        )
    )
