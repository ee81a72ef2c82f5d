"""Pages of an admin: accounts made, changed, ended; secrets shown once; all in the audit."""

import re
from collections.abc import Iterator

import pytest

from fleet.people.roles import Role
from fleet.settings import FleetSettings
from tests.fleet.page_bench import Bench, Visitor, bench, token_in
from tests.fleet.people.conftest import PASSWORD, People


@pytest.fixture
def site(settings: FleetSettings, people: People) -> Iterator[Bench]:
    people.accounts.add("anna", Role.OPERATOR, PASSWORD)
    with bench(settings, people) as made:
        yield made


@pytest.fixture
def admin(site: Bench) -> Iterator[Visitor]:
    with site.logged_in(Role.ADMIN) as client:
        yield client


def form(client: Visitor, path: str, **fields: str):
    token = token_in(client.get("/people").text)
    return client.post(path, data={"token": token, **fields})


def secret_in(page: str) -> str:
    found = re.search(r'<code class="secret">([^<]+)</code>', page)
    assert found is not None, page[:800]
    return found[1].replace("&amp;", "&")


def test_account_is_made_and_its_password_shown_this_once(site: Bench, admin: Visitor) -> None:
    made = form(admin, "/people", name="bert", role="engineer")
    password = secret_in(made.text)
    person = site.people.accounts.check("bert", password)
    assert person is not None
    assert person.role is Role.ENGINEER
    assert password not in admin.get("/people").text
    assert form(admin, "/people", name="bert", role="viewer").status_code == 409
    assert form(admin, "/people", name="Bert!", role="viewer").status_code == 409
    assert form(admin, "/people", name="carl", role="king").status_code == 409
    audit = [(one.target, one.outcome) for one in site.people.audit.entries(10)]
    assert ("/people bert as engineer", "200") in audit
    assert password not in str(audit)


def test_each_deed_does_what_its_button_says(site: Bench, admin: Visitor) -> None:
    keys, accounts = site.people.keys, site.people.accounts
    session = keys.start_session("anna", "192.0.2.9")
    token, secret = keys.make_token("anna", "wms", Role.OPERATOR, 1)
    assert form(admin, "/people/anna", do="sessions").status_code == 200
    assert keys.session(session) is None
    assert form(admin, "/people/anna", do="token", value=token.id).status_code == 200
    assert keys.token(secret) is None
    assert form(admin, "/people/anna", do="token", value=token.id).status_code == 409
    form(admin, "/people/anna", do="role", value="engineer")
    assert accounts.get("anna").role is Role.ENGINEER
    password = secret_in(form(admin, "/people/anna", do="password").text)
    assert accounts.check("anna", password) is not None
    assert accounts.check("anna", PASSWORD) is None
    link = secret_in(form(admin, "/people/anna", do="link").text)
    form(admin, "/people/anna", do="disable")
    assert accounts.check("anna", password) is None
    assert "disabled" in admin.get("/people").text
    assert form(admin, "/people/anna", do="link").status_code == 409
    form(admin, "/people/anna", do="enable")
    assert accounts.check("anna", password) is not None
    with site.visitor() as client:  # the link ended when the account was closed
        assert client.get(link.removeprefix(site.url)).status_code == 403


def test_link_signs_in_once(site: Bench, admin: Visitor) -> None:
    link = secret_in(form(admin, "/people/anna", do="link").text).removeprefix(site.url)
    with site.visitor() as client:
        assert client.get(link).status_code == 303
        assert "anna" in client.get("/account").text
    with site.visitor() as client:
        assert client.get(link).status_code == 403


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/people/anna", {"do": "explode"}, 409),
        ("/people/anna", {"do": "role", "value": "king"}, 409),
        ("/people/nobody", {"do": "disable"}, 409),
        ("/people/the-admin", {"do": "disable"}, 409),  # the last admin
        ("/people/anna", {"do": "disable", "token": "0" * 64}, 403),
    ],
)
def test_form_that_makes_no_sense_changes_nothing(
    site: Bench, admin: Visitor, path: str, fields: dict[str, str], status: int
) -> None:
    before = site.people.accounts.all()
    reply = form(admin, path, **fields)
    assert reply.status_code == status
    assert 'role="alert"' in reply.text
    assert site.people.accounts.all() == before


def test_without_the_forms_token_nothing_is_done(site: Bench, admin: Visitor) -> None:
    assert admin.post("/people/anna", data={"do": "disable"}).status_code == 403
    assert not site.people.accounts.get("anna").disabled
    headers = {"origin": "http://elsewhere.example"}
    token = token_in(admin.get("/people").text)
    told = admin.post("/people/anna", data={"do": "disable", "token": token}, headers=headers)
    assert told.status_code == 403
    assert not site.people.accounts.get("anna").disabled


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.ENGINEER])
def test_nobody_but_an_admin_sees_people_or_audit(site: Bench, role: Role) -> None:
    with site.logged_in(role) as client:
        for path in ("/people", "/audit"):
            assert client.get(path).status_code == 403
        assert 'href="/people"' not in client.get("/fleet").text
        assert client.post("/people/anna", data={"do": "disable"}).status_code == 403
    assert not site.people.accounts.get("anna").disabled


def test_audit_is_read_a_page_at_a_time_and_by_name(site: Bench, admin: Visitor) -> None:
    form(admin, "/people/anna", do="disable")
    page = admin.get("/audit?who=the-admin").text
    assert "/people/anna disable" in page
    assert "login" in page
    assert "Nothing yet" in admin.get("/audit?who=somebody-else").text
    assert admin.get("/audit?before=<script>").status_code == 200


def test_own_account_ends_other_sessions_and_makes_and_ends_tokens(site: Bench) -> None:
    keys = site.people.keys
    with site.logged_in(Role.OPERATOR) as client:
        other = keys.start_session("the-operator", "192.0.2.9")
        token = token_in(client.get("/account").text)
        assert client.post("/account/sessions/end", data={"token": "no"}).status_code == 403
        assert keys.session(other) is not None
        assert client.post("/account/sessions/end", data={"token": token}).status_code == 200
        assert keys.session(other) is None
        wish = {"token": token, "label": "wms", "role": "operator", "days": "7"}
        secret = secret_in(client.post("/account/tokens", data=wish).text)
        made = keys.token(secret)
        assert made is not None
        assert client.post("/account/tokens", data={**wish, "role": "admin"}).status_code == 409
        assert client.post("/account/tokens", data={**wish, "days": "-1"}).status_code == 422
        ended = client.post(f"/account/tokens/{made.id}/end", data={"token": token})
        assert ended.status_code == 200
        assert keys.token(secret) is None
        assert client.get("/account").status_code == 200  # this session goes on
