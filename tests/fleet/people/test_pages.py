"""The door as browsers and programs meet it."""

from collections.abc import Iterator

import pytest

from fleet.people.door import TRIES_BY_ADDRESS, Door
from fleet.people.pages import local_path
from fleet.people.roles import ROUTES, Open, Role
from fleet.security import Csrf, Hosts, hosts_of
from fleet.settings import FleetSettings
from fleet.store.series import StoreUnavailableError
from tests.fleet.page_bench import Bench, Visitor, bench, token_in
from tests.fleet.people.conftest import PASSWORD, People

COOKIE = "bedplate_session"


@pytest.fixture
def site(settings: FleetSettings, people: People) -> Iterator[Bench]:
    people.accounts.add("anna", Role.OPERATOR, PASSWORD)
    with bench(settings, people) as made:
        yield made


@pytest.fixture
def visitor(site: Bench) -> Iterator[Visitor]:
    with site.visitor() as client:
        yield client


def log_in(client: Visitor, name: str = "anna", password: str = PASSWORD, **more: str):
    token = token_in(client.get("/login").text)
    return client.post("/login", data={"name": name, "password": password, "token": token, **more})


def filled(path: str) -> str:
    words = {"{robot_id}": "osaka-01", "{camera}": "cell", "{name}": "collision"}
    for mark, word in words.items():
        path = path.replace(mark, word)
    return f"{path}/page.css" if path == "/static" else path


def test_every_route_has_its_row_and_every_row_its_route(site: Bench) -> None:
    there = set()
    for route in site.site.fast.routes:
        methods = getattr(route, "methods", None) or {"GET"}
        there |= {(method, route.path) for method in methods - {"HEAD"}}
    assert there == set(ROUTES)


@pytest.mark.parametrize(("method", "path"), sorted(ROUTES))
def test_without_login_nothing_works_but_health_and_the_way_in(
    site: Bench, visitor: Visitor, method: str, path: str
) -> None:
    before = len(site.people.audit.entries())
    reply = visitor.request(method, filled(path), headers={"origin": site.url})
    if isinstance(ROUTES[method, path], Open):
        assert reply.status_code != 303
        return
    told = reply.headers.get("location", "")
    assert reply.status_code == 401 or (
        reply.status_code == 303 and told.startswith("/login?next=")
    )
    assert "osaka" not in reply.text
    assert len(site.people.audit.entries()) == before


@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_do_its_part_and_no_more(site: Bench, role: Role) -> None:
    with site.logged_in(role) as client:
        for (method, path), need in ROUTES.items():
            if path == "/logout" or path.endswith("/stream") or isinstance(need, Open):
                continue
            reply = client.request(method, filled(path), json={} if method == "POST" else None)
            may = role.covers(need)
            kind = reply.headers.get("content-type", "")
            refused = reply.status_code == 403 and "problem" in kind
            assert refused != may, (method, path, reply.text)


def test_password_opens_the_door_and_the_session_is_new(site: Bench, visitor: Visitor) -> None:
    visitor.get("/login")
    before = visitor.cookies[COOKIE]
    reply = log_in(visitor, next="/robots/osaka-01")
    assert (reply.status_code, reply.headers["location"]) == (303, "/robots/osaka-01")
    assert visitor.cookies[COOKIE] != before
    assert visitor.get("/account").status_code == 200
    (note,) = site.people.audit.entries()
    assert (note.who, note.action, note.outcome, note.address) == (
        "anna",
        "login",
        "ok",
        "192.0.2.7",
    )


def test_cookie_that_was_planted_before_the_login_is_worth_nothing_after(
    site: Bench, visitor: Visitor
) -> None:
    visitor.get("/login")
    planted = visitor.cookies[COOKIE]
    log_in(visitor)
    with site.visitor() as other:
        other.cookies.set(COOKIE, planted)
        assert other.get("/account").status_code == 303


@pytest.mark.parametrize(
    ("name", "password"),
    [("anna", "wrong password"), ("nobody", PASSWORD), ("", ""), ("anna", "x" * 300)],
)
def test_wrong_name_and_wrong_password_are_answered_alike(
    site: Bench, visitor: Visitor, name: str, password: str
) -> None:
    reply = log_in(visitor, name, password)
    assert reply.status_code == 401
    assert "Name or password is wrong." in reply.text
    assert visitor.get("/account").status_code == 303
    assert site.people.audit.entries()[0].outcome == "refused"


def test_login_form_of_another_site_is_refused(site: Bench, visitor: Visitor) -> None:
    visitor.get("/login")
    form = {"name": "anna", "password": PASSWORD}
    assert visitor.post("/login", data=form).status_code == 403
    assert visitor.post("/login", data={**form, "token": "0" * 64}).status_code == 403
    token = token_in(visitor.get("/login").text)
    elsewhere = {"origin": "http://elsewhere.example"}
    sent = visitor.post("/login", data={**form, "token": token}, headers=elsewhere)
    assert sent.status_code == 403
    assert visitor.get("/account").status_code == 303


def test_guessing_is_slowed_down_and_told_how_long(site: Bench, visitor: Visitor) -> None:
    replies = [log_in(visitor, "anna", f"wrong password {n}") for n in range(12)]
    assert [reply.status_code for reply in replies].count(401) == TRIES_BY_ADDRESS.burst
    assert replies[-1].status_code == 429
    assert int(replies[-1].headers["retry-after"]) >= 1
    assert log_in(visitor).status_code == 429  # the right one too: else guessing would be told
    site.people.clock.go(120)
    assert log_in(visitor).status_code == 303
    outcomes = [entry.outcome for entry in site.people.audit.entries()]
    assert len(outcomes) <= 12  # a flood does not fill the audit


def test_guessing_from_many_addresses_is_slowed_down_by_the_name(site: Bench) -> None:
    statuses = []
    for number in range(14):
        with site.visitor(f"198.51.100.{number}") as client:
            statuses.append(log_in(client, "anna", "wrong password").status_code)
    assert statuses[-1] == 429
    with site.visitor("203.0.113.1") as client:
        assert log_in(client, "bert", "wrong password").status_code == 401


def test_link_signs_in_once_and_never_again(site: Bench, visitor: Visitor) -> None:
    key = site.people.keys.make_link("anna")
    reply = visitor.get(f"/sign-in?key={key}")
    assert (reply.status_code, reply.headers["location"]) == (303, "/")
    assert visitor.get("/account").status_code == 200
    with site.visitor() as other:
        again = other.get(f"/sign-in?key={key}")
        assert again.status_code == 403
        assert "used already" in again.text
        assert other.get("/account").status_code == 303


def test_logging_out_ends_the_session(site: Bench) -> None:
    with site.logged_in(Role.VIEWER) as client:
        session = client.cookies[COOKIE]
        reply = client.post("/logout", data={"token": client.headers["x-csrf-token"]})
        assert reply.headers["location"] == "/login"
        client.cookies.set(COOKIE, session)
        assert client.get("/account").status_code == 303


def test_logging_out_needs_the_page_s_token(site: Bench) -> None:
    with site.logged_in(Role.VIEWER) as client:
        client.post("/logout", data={"token": "0" * 64})
        assert client.get("/account").status_code == 200


def test_new_password_ends_other_sessions_and_keeps_this_one(site: Bench) -> None:
    with site.logged_in(Role.OPERATOR) as here, site.logged_in(Role.OPERATOR) as there:
        token = here.headers["x-csrf-token"]
        wrong = {"now": "not this one", "new": "eleven blue nuts", "token": token}
        assert here.post("/account/password", data=wrong).status_code == 403
        weak = {"now": PASSWORD, "new": "short", "token": token}
        assert "at least 12" in here.post("/account/password", data=weak).text
        good = {**weak, "new": "eleven blue nuts"}
        assert here.post("/account/password", data=good).status_code == 303
        assert here.get("/account").status_code == 200
        assert there.get("/account").status_code == 303
    assert site.people.accounts.check("the-operator", "eleven blue nuts") is not None


def test_deeds_are_noted_with_who_what_and_what_came_of_it(site: Bench) -> None:
    with site.logged_in(Role.VIEWER) as client:
        client.post("/robots/osaka-01/stop", json={})
    with site.logged_in(Role.ENGINEER) as client:
        client.post("/robots/osaka-01/rearm", json={})
    done, refused = [e for e in site.people.audit.entries() if e.action != "login"]
    assert (refused.who, refused.via, refused.outcome) == ("the-viewer", "session", "forbidden")
    assert (done.action, done.target) == ("POST /robots/{robot_id}/rearm", "/robots/osaka-01/rearm")
    assert done.outcome == "503"  # no robot answers here


def test_token_needs_no_cookie_and_no_csrf_and_cannot_do_more_than_it_says(site: Bench) -> None:
    _, secret = site.people.keys.make_token("anna", "wall", Role.VIEWER, 1)
    with site.visitor() as client:
        client.headers["authorization"] = f"Bearer {secret}"
        assert client.get("/robots/osaka-01/accounting").status_code == 200
        assert client.post("/robots/osaka-01/stop", json={}).status_code == 403
        client.headers["authorization"] = f"Bearer {secret}x"
        refused = client.get("/robots/osaka-01/accounting")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")


def test_whoever_asks_too_often_is_told_to_wait(site: Bench, visitor: Visitor) -> None:
    statuses = [visitor.get("/healthz").status_code for _ in range(130)]
    assert statuses[0] == 200
    assert statuses[-1] == 429
    with site.visitor("192.0.2.99") as other:
        assert other.get("/healthz").status_code == 200


def test_disabled_account_is_out_within_seconds(site: Bench) -> None:
    with site.logged_in(Role.VIEWER) as client:
        site.people.accounts.set_disabled("the-viewer", disabled=True)
        site.people.clock.go(3)
        assert client.get("/account").status_code == 303


def test_while_rows_are_away_who_was_in_can_still_act_for_a_while(site: Bench, monkeypatch) -> None:
    def away(*_arguments: object) -> None:
        raise StoreUnavailableError("the books cannot be read")

    with site.logged_in(Role.OPERATOR) as client, site.visitor() as stranger:
        client.post("/robots/osaka-01/stop", json={})
        for name in ("session", "token"):
            monkeypatch.setattr(site.people.keys, name, away)
        monkeypatch.setattr(site.people.audit, "note", away)
        site.people.clock.go(200)
        assert client.post("/robots/osaka-01/rearm", json={}).status_code == 503  # the robot's
        stranger.cookies.set(COOKIE, "made-up")
        assert stranger.get("/account").status_code == 503
        site.people.clock.go(200)
        reply = client.post("/robots/osaka-01/rearm", json={})
        assert "nobody can be recognised" in reply.text


def test_cookies_are_for_this_site_alone_and_no_script_reads_them(visitor: Visitor) -> None:
    told = visitor.get("/login").headers["set-cookie"].lower()
    assert "httponly" in told
    assert "samesite=strict" in told
    assert "secure" not in told  # http on this machine


def test_behind_a_proxy_with_a_certificate_cookies_are_secure(
    settings: FleetSettings, people: People
) -> None:
    public = settings.model_copy(update={"public_url": "https://fleet.example"})
    with bench(public, people) as site, site.visitor() as client:
        client.headers["host"] = "fleet.example"
        reply = client.get("/login")
        told = reply.headers["set-cookie"]
        assert told.startswith("__Host-bedplate_session=")
        assert "secure" in told.lower()
        assert "max-age" in reply.headers["strict-transport-security"]


def test_origins_are_ours_only_with_the_scheme_we_are_served_under() -> None:
    both = hosts_of(8080, "https://fleet.example")
    assert both.is_ours("https://fleet.example")
    assert both.is_ours("http://127.0.0.1:8080")
    for other in ("http://fleet.example", "https://fleet.example:444", "null", "http://evil", ""):
        assert not both.is_ours(other)
    assert Hosts(frozenset({"a:1"})).is_ours("http://a:1")


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "x", "/a\nb", "/" * 400]
)
def test_login_leads_nowhere_else(wanted: str) -> None:
    assert local_path(wanted) == "/"
    assert local_path("/robots/osaka-01") == "/robots/osaka-01"


def test_door_forgets_those_longest_unseen(people: People) -> None:
    assert isinstance(people.door, Door)
    people.door.forget()


def test_csrf_token_is_of_one_session(tmp_path) -> None:
    csrf = Csrf(tmp_path / "key")
    assert csrf.is_good("a", csrf.token("a"))
    assert not csrf.is_good("b", csrf.token("a"))
    assert not csrf.is_good(None, csrf.token("a"))
    assert Csrf(tmp_path / "key").is_good("a", csrf.token("a"))  # over a restart
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0


def test_request_of_unknown_or_great_length_is_refused(site: Bench) -> None:
    with site.logged_in(Role.OPERATOR) as client:
        path = "/robots/osaka-01/stop"

        async def piecemeal():
            yield b"{}"

        assert client.post(path, content=piecemeal()).status_code == 411
        assert client.post(path, content=b" " * 20_000).status_code == 413
