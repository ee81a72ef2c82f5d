from hypothesis import given
from hypothesis import strategies as st

from fleet.people.roles import ROUTES, Open, Principal, Role, Verdict, Via, decide, need_of

NEEDS = st.sampled_from([*Role, *Open])


def somebody(role: Role) -> Principal:
    return Principal("anna", role, Via.SESSION, "1")


@given(st.sampled_from(Role), st.sampled_from(Role), NEEDS)
def test_more_of_a_role_never_allows_less(lower, higher, need):
    if higher.covers(lower) and decide(somebody(lower), need) is Verdict.ALLOWED:
        assert decide(somebody(higher), need) is Verdict.ALLOWED


@given(NEEDS)
def test_a_stranger_comes_in_where_nobody_is_needed_and_nowhere_else(need):
    allowed = decide(None, need) is Verdict.ALLOWED
    assert allowed == isinstance(need, Open)


def test_only_health_and_the_way_in_are_open():
    opened = {route for route, need in ROUTES.items() if isinstance(need, Open)}
    assert opened == {
        ("GET", "/healthz"),
        ("GET", "/static"),
        ("GET", "/login"),
        ("POST", "/login"),
        ("GET", "/sign-in"),
    }


def test_whatever_changes_a_robot_needs_an_operator_at_least():
    for (method, path), need in ROUTES.items():
        if method != "GET" and "{robot_id}" in path:
            assert isinstance(need, Role)
            assert need.covers(Role.OPERATOR), path


def test_a_route_that_nobody_thought_of_is_an_admins():
    assert need_of("POST", "/robots/{robot_id}/explode") is Role.ADMIN
    assert need_of("GET", None) is Role.VIEWER


@given(st.sampled_from(Role), st.sampled_from(Role))
def test_the_lesser_of_two_roles_is_one_that_both_cover(one, other):
    lesser = one.at_most(other)
    assert lesser in (one, other)
    assert one.covers(lesser)
    assert other.covers(lesser)
