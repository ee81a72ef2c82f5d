"""One conversation with a server: its token, its patience, and what its refusals mean."""

import base64
import binascii
import json
import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from ota.mender.errors import (
    AnswerError,
    ConflictError,
    MenderError,
    NotAllowedError,
    NotFoundError,
    RefusedError,
    UnclearError,
    UnreachableError,
)

V1 = "/api/management/v1"
V2 = "/api/management/v2"
TIMEOUT_S = 30.0
RENEW_S = 60.0  # a token that ends this soon is not used any more
TEXT_MAX = 300
# Said before the request reached anything that acts on it.
NOT_YET = {429}
PASSING = {429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Address:
    """Where the server is, and which authority its certificate must come from."""

    url: str
    authority: Path | None = None  # None: those that this machine trusts

    def trust(self) -> ssl.SSLContext:
        if not self.url.startswith("https://"):
            raise _Wrong(self.url, "an address without TLS")
        try:
            return ssl.create_default_context(cafile=self.authority)
        except (OSError, ssl.SSLError) as error:
            raise _Wrong(str(self.authority), str(error)) from error


class _Wrong(MenderError):
    def __init__(self, where: str, got: str) -> None:
        super().__init__(
            where,
            got,
            "the token travels there, and who holds it can update every robot",
            "an address like https://mender.example.org, and the authority of its certificate",
        )


@dataclass(frozen=True)
class Login:
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Patience:
    """How often and how long is tried again. The pause doubles, is cut, and is never the same."""

    attempts: int = 5
    first_s: float = 0.5
    longest_s: float = 8.0

    def pause_s(self, attempt: int, draw: float) -> float:
        """`draw` in [0, 1): many who were refused together do not come back together."""
        return min(self.longest_s, self.first_s * 2**attempt) * (0.5 + draw / 2)


@dataclass
class Session:
    address: Address
    token: str = ""
    login: Login | None = None
    patience: Patience = Patience()
    now: Callable[[], float] = time.time  # noqa: TID251 - against the end that a token names
    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[], float] = random.random
    transport: httpx.BaseTransport | None = None  # tests put theirs here

    def __post_init__(self) -> None:
        self._http = httpx.Client(
            base_url=self.address.url.rstrip("/"),
            verify=self.address.trust(),
            timeout=TIMEOUT_S,
            trust_env=False,
            transport=self.transport,
        )

    def close(self) -> None:
        self._http.close()

    def call(
        self, method: str, path: str, *, repeatable: bool | None = None, **options: Any
    ) -> httpx.Response:
        """An answer below 400, or the error that says what it was. POST is not repeated once it may
        have arrived, unless the caller knows that twice is once."""
        if repeatable is None:
            repeatable = method != "POST"
        if not self.token or self._ends_soon():
            self.log_in()
        reply = self._try(method, path, repeatable=repeatable, **options)
        if reply.status_code == 401 and self.login is not None:
            self.log_in()  # refused before it was looked at: nothing happened
            reply = self._try(method, path, repeatable=repeatable, **options)
        if reply.status_code >= 400:
            raise meaning(f"{method} {self.address.url}{path}", reply)
        return reply

    def log_in(self) -> str:
        if self.login is None:
            raise NotAllowedError(
                self.address.url,
                "no token that is still good",
                "the server tells and does nothing without one",
                "bedplate ota login",
            )
        self.token = ""
        path = f"{V1}/useradm/auth/login"
        pair = (self.login.user, self.login.password)
        reply = self._try("POST", path, repeatable=True, auth=pair)
        if reply.status_code >= 400:
            raise meaning(f"POST {self.address.url}{path}", reply)
        self.token = reply.text.strip()
        if self.token.count(".") != 2:
            self.token = ""
            raise AnswerError(
                f"{self.address.url}{path}",
                "no token",
                "whoever answers there is not the API of a Mender server",
                "the address of the server itself, without a path",
            )
        return self.token

    def _ends_soon(self) -> bool:
        end_s = end_of(self.token)
        return self.login is not None and end_s is not None and self.now() > end_s - RENEW_S

    def _try(self, method: str, path: str, *, repeatable: bool, **options: Any) -> httpx.Response:
        for attempt in range(self.patience.attempts):
            last = attempt == self.patience.attempts - 1
            try:
                reply = self._http.request(method, path, headers=self._headers(), **options)
            except httpx.HTTPError as error:
                if not repeatable and not isinstance(error, httpx.ConnectError | httpx.PoolTimeout):
                    raise _unclear(f"{method} {self.address.url}{path}", error) from error
                if last:
                    raise _unreachable(self.address.url, error) from error
                self.sleep(self.patience.pause_s(attempt, self.draw()))
                continue
            again = reply.status_code in (PASSING if repeatable else NOT_YET)
            if not again or last:
                return reply
            self.sleep(self._wanted_pause_s(reply, attempt))
        raise AssertionError("at least one attempt")

    def _wanted_pause_s(self, reply: httpx.Response, attempt: int) -> float:
        wanted = reply.headers.get("retry-after", "")
        own = self.patience.pause_s(attempt, self.draw())
        asked = float(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 6 else 0.0
        return max(own, min(asked, self.patience.longest_s))

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def end_of(token: str) -> float | None:
    """When a token ends, as it says itself; None where it does not."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        end = claims["exp"]
    except (IndexError, ValueError, binascii.Error, KeyError, TypeError, RecursionError):
        return None
    good = isinstance(end, int | float) and not isinstance(end, bool)
    return float(end) if good and abs(end) < 1e15 else None


# What an answer means, why that matters and what helps; the server's own words are the middle.
MEANINGS: Mapping[int, tuple[type[MenderError], str, str]] = {
    401: (NotAllowedError, "it knows neither token nor password", "bedplate ota login"),
    403: (NotAllowedError, "this user may not do that", "a user with the rights for it"),
    404: (NotFoundError, "the server has nothing of that name", "list what there is first"),
    405: (AnswerError, "this server's API is another", "docs/mender.md for its versions"),
    409: (
        ConflictError,
        "the server has one like it already, or it is in use by a running deployment",
        "another name, or end the deployment that holds it: bedplate ota deployments",
    ),
    413: (RefusedError, "the request is larger than the server takes", "fewer robots at once"),
    422: (
        RefusedError,
        "the server understood it and cannot do it: an artifact of that name does not exist, or"
        " it is used or over already",
        "bedplate ota artifacts, bedplate ota deployments",
    ),
}  # fmt: skip
OTHER = (RefusedError, "the server does not accept it as it is", "what the server says above")
PASSED = (UnreachableError, "the server cannot just now, after several tries", "again in a while")


def meaning(where: str, reply: httpx.Response) -> MenderError:
    other = PASSED if reply.status_code in PASSING else OTHER
    kind, because, suggestion = MEANINGS.get(reply.status_code, other)
    return kind(where, f"{reply.status_code}: {_said(reply)}", because, suggestion)


def _said(reply: httpx.Response) -> str:
    try:
        text = reply.json()["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        text = reply.text or "no word"
    return " ".join(str(text).split())[:TEXT_MAX]


def _unreachable(url: str, error: Exception) -> UnreachableError:
    return UnreachableError(
        url,
        str(error) or type(error).__name__,
        "nobody answers there; nothing was changed",
        "whether the address is right, the server runs, and its certificate is of the authority"
        " that was named",
    )


def _unclear(where: str, error: Exception) -> UnclearError:
    return UnclearError(
        where,
        str(error) or type(error).__name__,
        "it was sent, and the answer was lost: it may have happened",
        "look whether it did, before it is asked again",
    )
