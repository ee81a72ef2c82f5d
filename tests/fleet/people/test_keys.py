import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.people.accounts import PeopleError
from fleet.people.keys import IDLE_S, LIFE_S, LINK_LIFE_S, SESSIONS_MAX, TOKENS_MAX, digest
from fleet.people.roles import Role, Via
from fleet.people.tables import SESSION, SIGN_IN, TOKEN
from fleet.store.rows import read
from tests.fleet.people.conftest import PASSWORD, People


@pytest.fixture
def team(people: People) -> People:
    people.accounts.add("owner", Role.ADMIN, PASSWORD)
    people.accounts.add("anna", Role.OPERATOR, PASSWORD)
    return people


def test_session_says_who_and_in_which_role(team: People) -> None:
    who = team.keys.session(team.keys.start_session("anna", "127.0.0.1"))
    assert who is not None
    assert (who.name, who.role, who.via) == ("anna", Role.OPERATOR, Via.SESSION)
    assert team.keys.session("made up") is None


def test_nothing_that_opens_the_door_lies_in_the_database(team: People) -> None:
    secrets = [
        team.keys.start_session("anna", "::1"),
        team.keys.make_token("anna", "wall", Role.VIEWER, 1)[1],
        team.keys.make_link("anna"),
    ]
    kept = str([read(team.rows, table.select()) for table in (SESSION, TOKEN, SIGN_IN)])
    for secret in secrets:
        assert secret not in kept
        assert digest(secret) in kept


def test_session_ends_when_it_is_idle_and_when_it_is_old(team: People) -> None:
    session = team.keys.start_session("anna", "::1")
    team.clock.go(IDLE_S - 1)
    assert team.keys.session(session) is not None
    team.clock.go(IDLE_S)
    assert team.keys.session(session) is None
    used = team.keys.start_session("anna", "::1")
    for _ in range(LIFE_S // (IDLE_S - 60)):
        team.clock.go(IDLE_S - 60)
        assert team.keys.session(used) is not None
    team.clock.go(IDLE_S - 60)
    assert team.keys.session(used) is None


def test_session_of_a_clock_that_was_set_back_ends_in_its_time(team: People) -> None:
    session = team.keys.start_session("anna", "::1")
    team.clock.go(-3600)
    assert team.keys.session(session) is not None
    team.clock.go(3600 + IDLE_S)
    assert team.keys.session(session) is None


def test_logging_out_ends_this_session_and_no_other(team: People) -> None:
    one, two = team.keys.start_session("anna", "::1"), team.keys.start_session("anna", "::1")
    assert one != two
    team.keys.end_session(one)
    assert team.keys.session(one) is None
    assert team.keys.session(two) is not None


def test_sessions_of_one_person_are_bounded(team: People) -> None:
    made = []
    for _ in range(SESSIONS_MAX + 5):
        team.clock.go(1)
        made.append(team.keys.start_session("anna", "::1"))
    assert len(read(team.rows, SESSION.select())) == SESSIONS_MAX
    assert team.keys.session(made[0]) is None
    assert team.keys.session(made[-1]) is not None


def test_link_signs_in_once(team: People) -> None:
    link = team.keys.make_link("anna")
    assert team.keys.use_link(link) == "anna"
    assert team.keys.use_link(link) is None
    assert team.keys.use_link("made up") is None


def test_link_is_good_for_a_short_while_and_only_the_newest(team: People) -> None:
    old, new = team.keys.make_link("anna"), team.keys.make_link("anna")
    assert team.keys.use_link(old) is None
    team.clock.go(LINK_LIFE_S)
    assert team.keys.use_link(new) is None


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("later", list(Role))
def test_token_is_never_more_than_its_owner(team: People, role: Role, later: Role) -> None:
    _, secret = team.keys.make_token("owner", "ci", role, 1)
    team.accounts.add("second", Role.ADMIN, PASSWORD)
    team.accounts.set_role("owner", later)
    who = team.keys.token(secret)
    assert who is not None
    assert later.covers(who.role)
    assert role.covers(who.role)


def test_token_above_its_owner_is_not_made(team: People) -> None:
    with pytest.raises(PeopleError, match="cannot have"):
        team.keys.make_token("anna", "", Role.ENGINEER, 1)
    with pytest.raises(PeopleError, match="days"):
        team.keys.make_token("anna", "", Role.VIEWER, 1000)
    with pytest.raises(PeopleError, match="no 'nobody'"):
        team.keys.make_token("nobody", "", Role.VIEWER, 1)


def test_token_ends_in_its_time_or_when_it_is_revoked(team: People) -> None:
    short, until = team.keys.make_token("anna", "", Role.VIEWER, 1)
    other, revoked = team.keys.make_token("anna", "", Role.VIEWER, 9)
    assert not team.keys.revoke(other.id, "owner")  # not theirs
    assert team.keys.revoke(other.id)
    assert team.keys.token(revoked) is None
    assert team.keys.token(until) is not None
    team.clock.go(86_400)
    assert team.keys.token(until) is None
    assert [token.id for token in team.keys.tokens("anna")] == [short.id]


def test_tokens_of_a_disabled_account_are_gone_for_ever(team: People) -> None:
    _, secret = team.keys.make_token("anna", "", Role.VIEWER, 9)
    team.accounts.set_disabled("anna", disabled=True)
    team.accounts.set_disabled("anna", disabled=False)
    assert team.keys.token(secret) is None


def test_tokens_of_one_person_are_bounded(team: People) -> None:
    for _ in range(TOKENS_MAX):
        team.keys.make_token("anna", "", Role.VIEWER, 9)
    with pytest.raises(PeopleError, match="revoke one first"):
        team.keys.make_token("anna", "", Role.VIEWER, 9)


@given(st.text())
def test_no_text_is_a_key(text: str) -> None:
    assert len(digest(text)) == 64
