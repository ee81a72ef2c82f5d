"""What somebody shows instead of a password: a session's cookie, an API token, a link to sign in.

Each is random and kept as a hash, so that whoever reads the database can show none of them.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Engine

from fleet.clock import Clock
from fleet.people.accounts import NS_PER_S, PeopleError
from fleet.people.roles import Principal, Role, Via
from fleet.people.tables import PERSON, SESSION, SIGN_IN, TOKEN
from fleet.store.rows import Transaction, read

SECRET_BYTES = 32
IDLE_S = 8 * 3600  # a shift
LIFE_S = 7 * 86_400
SEEN_EVERY_S = 60  # how often use is written down
LINK_LIFE_S = 15 * 60
SESSIONS_MAX = 20  # of one person; the one longest unused makes way
TOKENS_MAX = 50
TOKEN_DAYS_MAX = 366
TOKEN_MARK = "bp_"
ID_LETTERS = 16


@dataclass(frozen=True)
class Token:
    """All that is known of a token once it was shown."""

    id: str
    person: str
    label: str
    role: Role
    created_s: int
    expires_s: int
    used_s: int | None


@dataclass(frozen=True)
class Session:
    """Somebody's open way in; `id` is a part of its hash and opens nothing."""

    id: str
    person: str
    address: str
    created_s: int
    seen_s: int


class Keys:
    def __init__(self, rows: Engine, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    def start_session(self, person: str, address: str) -> str:
        """A new secret at each login: what was in the browser before is worth nothing."""
        secret, now_s = secrets.token_urlsafe(SECRET_BYTES), self._now_s()
        with Transaction(self._rows) as connection:
            mine = SESSION.c.person == person
            over = now_s - LIFE_S
            ended = sql.or_(SESSION.c.created_s <= over, SESSION.c.seen_s <= now_s - IDLE_S)
            connection.execute(sql.delete(SESSION).where(ended))
            kept = sql.select(SESSION.c.digest).where(mine).order_by(SESSION.c.seen_s.desc())
            old = [row.digest for row in connection.execute(kept)][SESSIONS_MAX - 1 :]
            if old:
                connection.execute(sql.delete(SESSION).where(SESSION.c.digest.in_(old)))
            connection.execute(
                sql.insert(SESSION).values(
                    digest=digest(secret),
                    person=person,
                    address=address[:64],
                    created_s=now_s,
                    seen_s=now_s,
                )
            )
        return secret

    def session(self, secret: str) -> Principal | None:
        """Who it is, if it has neither been idle too long nor lived too long."""
        query = (
            sql.select(SESSION, PERSON.c.role)
            .join(PERSON, PERSON.c.name == SESSION.c.person)
            .where(SESSION.c.digest == digest(secret), PERSON.c.disabled.is_(False))
        )
        now_s, rows = self._now_s(), read(self._rows, query)
        if not rows or not _lives(rows[0].created_s, rows[0].seen_s, now_s):
            return None
        if now_s - rows[0].seen_s >= SEEN_EVERY_S:
            with Transaction(self._rows) as connection:
                same = SESSION.c.digest == rows[0].digest
                connection.execute(sql.update(SESSION).where(same).values(seen_s=now_s))
        return Principal(
            rows[0].person, Role(rows[0].role), Via.SESSION, rows[0].digest[:ID_LETTERS]
        )

    def end_session(self, secret: str) -> None:
        with Transaction(self._rows) as connection:
            connection.execute(sql.delete(SESSION).where(SESSION.c.digest == digest(secret)))

    def sessions(self, person: str | None = None) -> Sequence[Session]:
        """Those that are still good, the last used first."""
        query = sql.select(SESSION).order_by(SESSION.c.seen_s.desc(), SESSION.c.digest)
        if person is not None:
            query = query.where(SESSION.c.person == person)
        now_s = self._now_s()
        return [
            Session(row.digest[:ID_LETTERS], row.person, row.address, row.created_s, row.seen_s)
            for row in read(self._rows, query)
            if _lives(row.created_s, row.seen_s, now_s)
        ]

    def end_sessions(
        self, person: str, session_id: str | None = None, but: str | None = None
    ) -> int:
        """Of one person: the one, or all `but` the one. How many there were."""
        mark = sql.func.substr(SESSION.c.digest, 1, ID_LETTERS)
        wanted = [SESSION.c.person == person]
        if session_id is not None:
            wanted.append(mark == session_id)
        if but is not None:
            wanted.append(mark != but)
        with Transaction(self._rows) as connection:
            return connection.execute(sql.delete(SESSION).where(*wanted)).rowcount

    def make_token(self, person: str, label: str, role: Role, days: float) -> tuple[Token, str]:
        """The token and its secret, which is told this once."""
        if not 0 < days <= TOKEN_DAYS_MAX:
            raise PeopleError(f"a token lives for up to {TOKEN_DAYS_MAX} days, not {days:g}")
        owner = read(self._rows, sql.select(PERSON).where(PERSON.c.name == person))
        if not owner:
            raise PeopleError(f"there is no {person!r}; no token was made")
        if not Role(owner[0].role).covers(role):
            raise PeopleError(f"{person} is {owner[0].role} and cannot have a token as {role}")
        now_s = self._now_s()
        token_id = secrets.token_hex(4)
        secret = f"{TOKEN_MARK}{token_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
        made = Token(token_id, person, label[:80], role, now_s, now_s + round(days * 86_400), None)
        with Transaction(self._rows) as connection:
            mine = sql.select(sql.func.count()).select_from(TOKEN).where(TOKEN.c.person == person)
            if connection.execute(mine).scalar_one() >= TOKENS_MAX:
                raise PeopleError(f"{person} has {TOKENS_MAX} tokens; revoke one first")
            values = {**made.__dict__, "role": role.value, "digest": digest(secret)}
            connection.execute(sql.insert(TOKEN).values(**values))
        return made, secret

    def token(self, secret: str) -> Principal | None:
        """Never more than its owner may at this moment."""
        query = (
            sql.select(TOKEN, PERSON.c.role.label("owners"))
            .join(PERSON, PERSON.c.name == TOKEN.c.person)
            .where(TOKEN.c.digest == digest(secret), PERSON.c.disabled.is_(False))
        )
        now_s, rows = self._now_s(), read(self._rows, query)
        if not rows or now_s >= rows[0].expires_s:
            return None
        row = rows[0]
        if row.used_s is None or now_s - row.used_s >= SEEN_EVERY_S:
            with Transaction(self._rows) as connection:
                same = TOKEN.c.id == row.id
                connection.execute(sql.update(TOKEN).where(same).values(used_s=now_s))
        return Principal(row.person, Role(row.role).at_most(Role(row.owners)), Via.TOKEN, row.id)

    def tokens(self, person: str | None = None) -> Sequence[Token]:
        query = sql.select(TOKEN).order_by(TOKEN.c.person, TOKEN.c.created_s, TOKEN.c.id)
        if person is not None:
            query = query.where(TOKEN.c.person == person)
        return [_token(row) for row in read(self._rows, query)]

    def revoke(self, token_id: str, person: str | None = None) -> bool:
        wanted = TOKEN.c.id == token_id
        if person is not None:
            wanted = sql.and_(wanted, TOKEN.c.person == person)
        with Transaction(self._rows) as connection:
            return connection.execute(sql.delete(TOKEN).where(wanted)).rowcount > 0

    def make_link(self, person: str) -> str:
        """Good once, and for a quarter of an hour; the one before it ends."""
        secret, now_s = secrets.token_urlsafe(SECRET_BYTES), self._now_s()
        with Transaction(self._rows) as connection:
            gone = sql.or_(SIGN_IN.c.person == person, SIGN_IN.c.expires_s <= now_s)
            connection.execute(sql.delete(SIGN_IN).where(gone))
            values = {"digest": digest(secret), "person": person, "expires_s": now_s + LINK_LIFE_S}
            connection.execute(sql.insert(SIGN_IN).values(**values))
        return secret

    def use_link(self, secret: str) -> str | None:
        """Whose it is. Whoever deletes the row has used it: of two at once, one comes in."""
        with Transaction(self._rows) as connection:
            mine = SIGN_IN.c.digest == digest(secret)
            row = connection.execute(sql.select(SIGN_IN).where(mine)).first()
            if row is None or not connection.execute(sql.delete(SIGN_IN).where(mine)).rowcount:
                return None
            known = sql.select(PERSON.c.disabled).where(PERSON.c.name == row.person)
            owner = connection.execute(known).first()
            late = self._now_s() >= row.expires_s
            return None if late or owner is None or owner.disabled else str(row.person)

    def _now_s(self) -> int:
        return self._clock.wall_ns() // NS_PER_S


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _lives(created_s: int, seen_s: int, now_s: int) -> bool:
    """A clock that was set back ends nothing early and prolongs nothing beyond its life."""
    return now_s - seen_s < IDLE_S and now_s - created_s < LIFE_S


def _token(row: Any) -> Token:
    return Token(
        row.id, row.person, row.label, Role(row.role), row.created_s, row.expires_s, row.used_s
    )
