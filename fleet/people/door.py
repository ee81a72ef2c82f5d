"""Who is at the door: passwords, sessions and tokens as principals, and how often they may ask."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from starlette.datastructures import Headers

from fleet.clock import Clock
from fleet.people.accounts import Accounts, Person
from fleet.people.audit import Audit, Entry
from fleet.people.keys import TOKEN_MARK, Keys, digest
from fleet.people.limits import NS_PER_S, Buckets, Rate
from fleet.people.roles import Principal
from fleet.store.series import StoreUnavailableError

KNOWN_MAX = 2000
KNOWN_NS = 3 * NS_PER_S  # so long an answer of the database holds: what ends elsewhere ends then
WITHOUT_ROWS_NS = 300 * NS_PER_S  # and so long while the database is away: a robot can be stopped

STRANGERS = Rate(burst=120, per_s=20)  # by address
KNOWN = Rate(burst=400, per_s=100)  # by session or token
TRIES_BY_ADDRESS = Rate(burst=10, per_s=0.1)
TRIES_BY_NAME = Rate(burst=10, per_s=0.05)
TRIES_IN_ALL = Rate(burst=50, per_s=2)
NOTES_OF_REFUSALS = Rate(burst=10, per_s=1 / 60)  # by address: a flood does not fill the audit


@dataclass(frozen=True)
class Wait:
    """Too often: so long until it may be tried again."""

    seconds: float

    @property
    def headers(self) -> dict[str, str]:
        return {"retry-after": str(max(1, round(self.seconds + 0.5)))}


class Door:
    def __init__(self, accounts: Accounts, keys: Keys, audit: Audit, clock: Clock) -> None:
        self.accounts = accounts
        self.keys = keys
        self.audit = audit
        self._clock = clock
        self._known: OrderedDict[str, tuple[Principal, int]] = OrderedDict()
        self._strangers = Buckets(STRANGERS)
        self._callers = Buckets(KNOWN)
        self._tries = (
            Buckets(TRIES_BY_ADDRESS),
            Buckets(TRIES_BY_NAME),
            Buckets(TRIES_IN_ALL, keys_max=1),
        )
        self._refusals = Buckets(NOTES_OF_REFUSALS)
        self._one_at_a_time = asyncio.Semaphore(1)  # each check takes 64 MiB and a core

    async def identify(self, secret: str | None, address: str) -> Principal | Wait | None:
        """None is somebody unknown; StoreUnavailableError when nobody can say."""
        if secret is None:
            return self._limit(self._strangers, address)
        found = self._remembered(secret, KNOWN_NS)
        if found is None:
            wait = self._limit(self._strangers, address)
            if wait is not None:
                return wait
            found = await self._look_up(secret)
            if found is None:
                return None
            self._strangers.give_back(address, self._clock.now_ns())
        return self._limit(self._callers, found.id) or found

    async def still_in(self, secret: str | None) -> bool:
        """For what stays open long: a stream ends when its session does."""
        if secret is None:
            return False
        return self._remembered(secret, KNOWN_NS) is not None or (
            await self._look_up(secret) is not None
        )

    async def enter(self, name: str, password: str, address: str) -> Person | Wait | None:
        now_ns, names = self._clock.now_ns(), (address, name[:48], "")
        waits = [tries.take(key, now_ns) for tries, key in zip(self._tries, names, strict=True)]
        if max(waits) > 0:
            return Wait(max(waits))
        async with self._one_at_a_time:
            person = await asyncio.to_thread(self.accounts.check, name, password)
        if person is not None:
            for tries, key in zip(self._tries, names, strict=True):
                tries.give_back(key, self._clock.now_ns())
        return person

    def forget(self, secret: str | None = None) -> None:
        """What was just changed counts at once."""
        if secret is None:
            self._known.clear()
        else:
            self._known.pop(digest(secret), None)

    async def note(self, entry: Entry) -> None:
        await asyncio.to_thread(self.audit.note, entry)

    async def note_refusal(self, entry: Entry) -> None:
        if self._refusals.take(entry.address, self._clock.now_ns()) == 0:
            await self.note(entry)

    def _limit(self, buckets: Buckets, key: str) -> Wait | None:
        seconds = buckets.take(key, self._clock.now_ns())
        return Wait(seconds) if seconds > 0 else None

    def _remembered(self, secret: str, for_ns: int) -> Principal | None:
        kept = self._known.get(digest(secret))
        if kept is None or self._clock.now_ns() - kept[1] >= for_ns:
            return None
        return kept[0]

    async def _look_up(self, secret: str) -> Principal | None:
        look = self.keys.token if secret.startswith(TOKEN_MARK) else self.keys.session
        try:
            found = await asyncio.to_thread(look, secret)
        except StoreUnavailableError:
            found = self._remembered(secret, WITHOUT_ROWS_NS)
            if found is None:
                raise
            return found
        if found is None:
            self._known.pop(digest(secret), None)
            return None
        self._known[digest(secret)] = (found, self._clock.now_ns())
        self._known.move_to_end(digest(secret))
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return found


def bearer_of(headers: Headers) -> str | None:
    kind, _, secret = headers.get("authorization", "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" and secret.strip() else None
