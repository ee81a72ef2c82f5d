import pytest
from argon2 import PasswordHasher

from fleet.people.accounts import Accounts, PeopleError
from fleet.people.passwords import LENGTH_MAX, is_right, random_password, weakness
from fleet.people.roles import Role
from fleet.people.tables import PERSON
from fleet.store.rows import read
from tests.fleet.people.conftest import PASSWORD, People


@pytest.fixture
def owner(people: People) -> People:
    people.accounts.add("owner", Role.ADMIN, PASSWORD)
    return people


def test_right_password_comes_in_and_wrong_one_does_not(owner: People) -> None:
    found = owner.accounts.check("owner", PASSWORD)
    assert found is not None
    assert found.role is Role.ADMIN
    assert owner.accounts.check("owner", PASSWORD + " ") is None
    assert owner.accounts.check("nobody", PASSWORD) is None
    assert owner.accounts.check("owner", "x" * 10_000) is None


def test_no_password_lies_in_the_database(owner: People) -> None:
    (row,) = read(owner.rows, PERSON.select())
    assert row.password_hash.startswith("$argon2id$")
    assert PASSWORD not in str(row)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "at least 12"),
        ("x" * (LENGTH_MAX + 1), "at most"),
        ("abababababab", "different letters"),
        ("The Owner is here", "contains the name"),
    ],
)
def test_weak_passwords_are_refused_with_the_reason(people: People, password, why) -> None:
    with pytest.raises(PeopleError, match=why):
        people.accounts.add("owner", Role.ADMIN, password)
    assert people.accounts.all() == []


def test_made_passwords_are_good_enough() -> None:
    made = {random_password() for _ in range(200)}
    assert len(made) == 200
    assert {weakness("owner", password) for password in made} == {None}


@pytest.mark.parametrize("name", ["", "a", "Owner", "9lives", "a b", "ä" * 3, "a" * 49, "x\n"])
def test_names_that_cannot_be_named_are_refused(people: People, name: str) -> None:
    with pytest.raises(PeopleError, match="is no name"):
        people.accounts.add(name, Role.VIEWER, PASSWORD)


def test_one_name_is_one_account(owner: People) -> None:
    with pytest.raises(PeopleError, match="already"):
        owner.accounts.add("owner", Role.VIEWER, PASSWORD)


def test_last_admin_can_neither_go_nor_step_down(owner: People) -> None:
    with pytest.raises(PeopleError, match="last admin"):
        owner.accounts.set_disabled("owner", disabled=True)
    with pytest.raises(PeopleError, match="last admin"):
        owner.accounts.set_role("owner", Role.VIEWER)
    assert owner.accounts.check("owner", PASSWORD) is not None
    owner.accounts.add("second", Role.ADMIN, PASSWORD)
    owner.accounts.set_disabled("owner", disabled=True)
    assert owner.accounts.check("owner", PASSWORD) is None
    owner.accounts.set_disabled("owner", disabled=False)
    assert owner.accounts.check("owner", PASSWORD) is not None


@pytest.mark.parametrize("change", ["password", "role", "disabled"])
def test_every_change_ends_open_sessions(owner: People, change: str) -> None:
    owner.accounts.add("anna", Role.OPERATOR, PASSWORD)
    session, link = owner.keys.start_session("anna", "::1"), owner.keys.make_link("anna")
    others = owner.keys.start_session("owner", "::1")
    match change:
        case "password":
            owner.accounts.set_password("anna", "another green bolt")
        case "role":
            owner.accounts.set_role("anna", Role.VIEWER)
        case _:
            owner.accounts.set_disabled("anna", disabled=True)
    assert owner.keys.session(session) is None
    assert owner.keys.use_link(link) is None
    assert owner.keys.session(others) is not None


def test_wishes_about_nobody_are_refused(owner: People) -> None:
    for wish in (
        lambda: owner.accounts.get("nobody"),
        lambda: owner.accounts.set_role("nobody", Role.VIEWER),
        lambda: owner.accounts.set_password("nobody", PASSWORD),
    ):
        with pytest.raises(PeopleError, match="no 'nobody'"):
            wish()


def test_hash_of_older_settings_is_renewed_at_the_next_login(owner: People) -> None:
    stronger = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    (before,) = read(owner.rows, PERSON.select())
    assert Accounts(owner.rows, owner.clock, stronger).check("owner", PASSWORD) is not None
    (after,) = read(owner.rows, PERSON.select())
    assert before.password_hash != after.password_hash
    assert is_right(after.password_hash, PASSWORD)
