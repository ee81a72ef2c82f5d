"""The page in this process: real application, real rows, no broker, robots told by hand."""

import asyncio
import re
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, TypeVar

import httpx

from fleet.ingestd import open_store
from fleet.numbers import Numbers
from fleet.people.roles import Role
from fleet.security import Csrf, hosts_of
from fleet.settings import FleetSettings
from fleet.site import Entrance, Known, Site
from fleet.store.books import Books
from fleet.upkeep import Upkeep
from fleet.watch import Watch
from tests.fleet.people.conftest import PASSWORD, People

T = TypeVar("T")


class Loop:
    """An event loop on a thread of its own: a browser under test may hold this one's."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def close(self) -> None:
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Visitor:
    """A browser without a screen: cookies, headers, no redirects followed."""

    def __init__(self, bench: "Bench", address: str) -> None:
        transport = httpx.ASGITransport(bench.site.app, client=(address, 5))
        self._loop = bench.loop
        self._client = httpx.AsyncClient(transport=transport, base_url=bench.url)
        self.cookies, self.headers = self._client.cookies, self._client.headers

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self._loop.run(self._client.request(method, path, **more))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)

    def close(self) -> None:
        self._loop.run(self._client.aclose())


@dataclass
class Bench:
    settings: FleetSettings
    people: People
    watch: Watch
    site: Site
    loop: Loop = field(default_factory=Loop)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.page_port}"

    @contextmanager
    def visitor(self, address: str = "192.0.2.7") -> Iterator[Visitor]:
        """Somebody who is not logged in."""
        client = Visitor(self, address)
        yield client
        client.close()

    @contextmanager
    def logged_in(self, role: Role) -> Iterator[Visitor]:
        name = f"the-{role.value}"
        if all(person.name != name for person in self.people.accounts.all()):
            self.people.accounts.add(name, role, PASSWORD)
        with self.visitor() as client:
            reply = client.get(f"/sign-in?key={self.people.keys.make_link(name)}")
            assert reply.status_code == 303
            client.headers["x-csrf-token"] = csrf_of(client)
            yield client


def csrf_of(client: Visitor) -> str:
    return token_in(client.get("/account").text)


def token_in(page: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]{64})"', page)
    assert found is not None, page[:500]
    return found[1]


@contextmanager
def bench(settings: FleetSettings, people: People) -> Iterator[Bench]:
    store, books = open_store(settings), Books(settings.rows_url)
    watch = Watch(settings, store, books, people.clock)
    csrf = Csrf(settings.root / "session.key")
    hosts = hosts_of(settings.page_port, settings.public_url)
    numbers, upkeep = Numbers(people.rows, people.clock), Upkeep(people.rows, people.clock)
    known = Known(watch, people.rows, numbers, upkeep, None, people.clock)
    site = Site(settings, known, Entrance(people.door, csrf, hosts))
    made = Bench(settings, people, watch, site)
    yield made
    made.loop.close()
    books.close()
    store.close()
