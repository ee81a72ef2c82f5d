"""Routes about people: oneself, and for admins everybody."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from fleet.api.replies import (
    AuditPageReply,
    AuditReply,
    MeReply,
    NewTokenReply,
    PeopleReply,
    PersonReply,
    SessionReply,
    SessionsReply,
    TokenReply,
    TokensReply,
)
from fleet.people.accounts import PeopleError
from fleet.people.door import Door
from fleet.people.keys import TOKEN_DAYS_MAX
from fleet.people.passwords import LENGTH_MAX, LENGTH_MIN
from fleet.people.roles import Role, Via
from fleet.problem import ProblemError
from fleet.security import note

NAME = r"^[a-z][a-z0-9._-]{1,47}$"
Name = Annotated[str, Path(pattern=NAME)]
TokenId = Annotated[str, Path(pattern=r"^[0-9a-f]{8}$")]
SessionId = Annotated[str | None, Query(pattern=r"^[0-9a-f]{16}$")]
Password = Annotated[str, Field(min_length=LENGTH_MIN, max_length=LENGTH_MAX)]


class Wish(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewPerson(Wish):
    name: Annotated[str, Field(pattern=NAME)]
    role: Role
    password: Password


class PersonChange(Wish):
    """Only what is given changes; each change ends the account's sessions."""

    role: Role | None = None
    disabled: bool | None = None
    password: Password | None = None


class NewToken(Wish):
    label: str = Field("", max_length=80)
    role: Role = Role.VIEWER
    days: float = Field(90.0, gt=0, le=TOKEN_DAYS_MAX)


class PeopleApi:
    """Handlers that are no coroutines: the framework gives each a thread, as the rows want."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def add_to(self, router: APIRouter) -> None:
        router.get("/me", tags=["me"], summary="who asks")(self.me)
        router.get("/me/tokens", tags=["me"], summary="one's tokens")(self.my_tokens)
        router.post("/me/tokens", tags=["me"], summary="make one", status_code=201)(
            self.make_my_token
        )
        router.delete("/me/tokens/{token_id}", tags=["me"], summary="end one", status_code=204)(
            self.revoke_my_token
        )
        router.get("/me/sessions", tags=["me"], summary="where one is logged in")(self.my_sessions)
        router.delete(
            "/me/sessions", tags=["me"], summary="end the others, or one", status_code=204
        )(self.end_my_sessions)
        router.get("/people", tags=["people"], summary="every account")(self.people)
        router.post("/people", tags=["people"], summary="make one", status_code=201)(self.add)
        router.patch("/people/{name}", tags=["people"], summary="change one")(self.change)
        router.get("/people/{name}/tokens", tags=["people"], summary="its tokens")(self.tokens)
        router.delete(
            "/people/{name}/tokens/{token_id}", tags=["people"], summary="end one", status_code=204
        )(self.revoke)
        at = "/people/{name}/sessions"
        router.get(at, tags=["people"], summary="where it is logged in")(self.sessions)
        router.delete(at, tags=["people"], summary="end all, or one", status_code=204)(
            self.end_sessions
        )
        router.get("/audit", tags=["people"], summary="who did what, newest first")(self.audit)

    def me(self, request: Request) -> MeReply:
        return MeReply.of(request.state.who)

    def my_tokens(self, request: Request) -> TokensReply:
        return self._tokens(request.state.who.name)

    def make_my_token(self, wish: NewToken, request: Request) -> NewTokenReply:
        who = request.state.who
        if who.via is not Via.SESSION:
            raise ProblemError(
                403, "forbidden", "a token cannot make tokens: log in with a password"
            )
        try:
            token, secret = self._door.keys.make_token(who.name, wish.label, wish.role, wish.days)
        except PeopleError as error:
            raise ProblemError(409, "refused", str(error)) from error
        return NewTokenReply(token=TokenReply.of(token), secret=secret)

    def revoke_my_token(self, token_id: TokenId, request: Request) -> None:
        self._revoke(token_id, request.state.who.name)

    def my_sessions(self, request: Request) -> SessionsReply:
        return self._sessions(request.state.who.name)

    def end_my_sessions(self, request: Request, session_id: SessionId = None) -> None:
        """Without an id: all but the one that asks."""
        who = request.state.who
        but = who.id if session_id is None and who.via is Via.SESSION else None
        self._end_sessions(who.name, session_id, but)

    def people(self) -> PeopleReply:
        return PeopleReply(items=[PersonReply.of(one) for one in self._door.accounts.all()])

    def add(self, wish: NewPerson, request: Request) -> PersonReply:
        note(request, f"{wish.name} as {wish.role.value}")
        try:
            return PersonReply.of(self._door.accounts.add(wish.name, wish.role, wish.password))
        except PeopleError as error:
            raise ProblemError(409, "refused", str(error)) from error

    def change(self, name: Name, wish: PersonChange, request: Request) -> PersonReply:
        accounts = self._door.accounts
        note(request, _changed(wish))
        self._known(name)
        try:
            if wish.password is not None:
                accounts.set_password(name, wish.password)
            if wish.role is not None:
                accounts.set_role(name, wish.role)
            if wish.disabled is not None:
                accounts.set_disabled(name, disabled=wish.disabled)
            return PersonReply.of(accounts.get(name))
        except PeopleError as error:
            raise ProblemError(409, "refused", str(error)) from error
        finally:
            self._door.forget()

    def tokens(self, name: Name) -> TokensReply:
        self._known(name)
        return self._tokens(name)

    def revoke(self, name: Name, token_id: TokenId) -> None:
        self._revoke(token_id, name)

    def sessions(self, name: Name) -> SessionsReply:
        self._known(name)
        return self._sessions(name)

    def end_sessions(self, name: Name, session_id: SessionId = None) -> None:
        self._known(name)
        self._end_sessions(name, session_id)

    def audit(
        self,
        who: Annotated[str | None, Query(max_length=80)] = None,
        cursor: Annotated[str | None, Query(pattern=r"^[0-9]{1,15}$")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> AuditPageReply:
        before = None if cursor is None else int(cursor)
        entries = self._door.audit.entries(limit, before, who)
        after = str(entries[-1].id) if len(entries) == limit else None
        return AuditPageReply(items=[AuditReply.of(entry) for entry in entries], next=after)

    def _tokens(self, name: str) -> TokensReply:
        return TokensReply(items=[TokenReply.of(one) for one in self._door.keys.tokens(name)])

    def _sessions(self, name: str) -> SessionsReply:
        return SessionsReply(items=[SessionReply.of(o) for o in self._door.keys.sessions(name)])

    def _end_sessions(self, name: str, session_id: str | None, but: str | None = None) -> None:
        self._door.keys.end_sessions(name, session_id, but)  # what is not there has ended
        self._door.forget()

    def _revoke(self, token_id: str, name: str) -> None:
        if not self._door.keys.revoke(token_id, name):
            raise ProblemError(404, "no_such_token", f"{name} has no token {token_id!r}")
        self._door.forget()

    def _known(self, name: str) -> None:
        try:
            self._door.accounts.get(name)
        except PeopleError as error:
            raise ProblemError(404, "no_such_person", str(error)) from error


def _changed(wish: PersonChange) -> str:
    """For the audit; never the password itself."""
    said = ["password"] if wish.password is not None else []
    if wish.role is not None:
        said.append(f"role {wish.role.value}")
    if wish.disabled is not None:
        said.append("disabled" if wish.disabled else "enabled")
    return ", ".join(said)
