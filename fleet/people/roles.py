"""What each role may do: one table of routes, and a pure decision. What is not in it is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never


class Role(StrEnum):
    """Each may do all that those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"
    ADMIN = "admin"

    def covers(self, need: "Role") -> bool:
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(need)

    def at_most(self, other: "Role") -> "Role":
        return self if other.covers(self) else other


class Open(StrEnum):
    """Why a route needs nobody to be logged in."""

    HEALTH = "health"
    LOGIN = "login"
    STYLE = "style"  # what the login page itself is drawn with; the same files for everybody


class Via(StrEnum):
    SESSION = "session"
    TOKEN = "token"


@dataclass(frozen=True)
class Principal:
    """Who asks. `id` is of the session or the token: limits and audit tell them apart."""

    name: str
    role: Role
    via: Via
    id: str


class Verdict(StrEnum):
    ALLOWED = "allowed"
    WHO = "who"  # somebody has to log in first
    FORBIDDEN = "forbidden"  # known, but may not


Need = Role | Open
Route = tuple[str, str]

ROUTES: Mapping[Route, Need] = {
    ("GET", "/healthz"): Open.HEALTH,
    ("GET", "/static"): Open.STYLE,
    ("GET", "/login"): Open.LOGIN,
    ("POST", "/login"): Open.LOGIN,
    ("GET", "/sign-in"): Open.LOGIN,
    ("POST", "/logout"): Role.VIEWER,
    ("GET", "/account"): Role.VIEWER,
    ("POST", "/account/password"): Role.VIEWER,
    ("POST", "/account/tokens"): Role.VIEWER,
    ("POST", "/account/tokens/{token_id}/end"): Role.VIEWER,
    ("POST", "/account/sessions/end"): Role.VIEWER,
    ("GET", "/people"): Role.ADMIN,
    ("POST", "/people"): Role.ADMIN,
    ("POST", "/people/{name}"): Role.ADMIN,
    ("GET", "/audit"): Role.ADMIN,
    ("GET", "/"): Role.VIEWER,
    ("GET", "/fleet"): Role.VIEWER,
    ("GET", "/fleet/stream"): Role.VIEWER,
    ("GET", "/robots/{robot_id}"): Role.VIEWER,
    ("GET", "/robots/{robot_id}/stream"): Role.VIEWER,
    ("GET", "/robots/{robot_id}/live"): Role.VIEWER,
    ("GET", "/robots/{robot_id}/events"): Role.VIEWER,
    ("GET", "/robots/{robot_id}/accounting"): Role.VIEWER,
    ("GET", "/robots/{robot_id}/snapshot/{camera}"): Role.VIEWER,
    ("GET", "/robots/{robot_id}/tasks/{task_id}"): Role.VIEWER,
    ("GET", "/events"): Role.VIEWER,
    ("GET", "/events/export"): Role.VIEWER,
    ("GET", "/runbooks/{name}"): Role.VIEWER,
    ("GET", "/incidents"): Role.VIEWER,
    ("GET", "/incidents/{incident_id}"): Role.VIEWER,
    ("GET", "/incidents/{incident_id}/export"): Role.VIEWER,
    ("POST", "/incidents"): Role.OPERATOR,
    ("POST", "/incidents/{incident_id}/notes"): Role.OPERATOR,
    ("POST", "/incidents/{incident_id}/steps/{number}"): Role.OPERATOR,
    ("POST", "/incidents/{incident_id}/close"): Role.OPERATOR,
    ("GET", "/api/v1/openapi.json"): Role.VIEWER,
    ("GET", "/api/v1/me"): Role.VIEWER,
    ("GET", "/api/v1/me/sessions"): Role.VIEWER,
    ("DELETE", "/api/v1/me/sessions"): Role.VIEWER,
    ("GET", "/api/v1/me/tokens"): Role.VIEWER,
    ("POST", "/api/v1/me/tokens"): Role.VIEWER,
    ("DELETE", "/api/v1/me/tokens/{token_id}"): Role.VIEWER,
    ("GET", "/api/v1/fleet"): Role.VIEWER,
    ("GET", "/api/v1/fleet/week"): Role.VIEWER,
    ("GET", "/api/v1/robots"): Role.VIEWER,
    ("GET", "/api/v1/robots/{robot_id}"): Role.VIEWER,
    ("GET", "/api/v1/robots/{robot_id}/tasks"): Role.VIEWER,
    ("GET", "/api/v1/events"): Role.VIEWER,
    ("GET", "/api/v1/alerts"): Role.VIEWER,
    ("GET", "/api/v1/accounting"): Role.VIEWER,
    ("GET", "/api/v1/incidents"): Role.VIEWER,
    ("GET", "/api/v1/incidents/{incident_id}"): Role.VIEWER,
    ("GET", "/api/v1/incidents/{incident_id}/export"): Role.VIEWER,
    ("POST", "/api/v1/incidents"): Role.OPERATOR,
    ("POST", "/api/v1/incidents/{incident_id}/notes"): Role.OPERATOR,
    ("PUT", "/api/v1/incidents/{incident_id}/steps/{number}"): Role.OPERATOR,
    ("POST", "/api/v1/incidents/{incident_id}/close"): Role.OPERATOR,
    ("GET", "/api/v1/traces"): Role.VIEWER,
    ("GET", "/api/v1/traces/{trace_id}"): Role.VIEWER,
    ("POST", "/api/v1/robots/{robot_id}/stop"): Role.OPERATOR,
    ("POST", "/api/v1/robots/{robot_id}/rearm"): Role.OPERATOR,
    ("POST", "/api/v1/robots/{robot_id}/tasks"): Role.OPERATOR,
    ("PUT", "/api/v1/robots/{robot_id}/maintenance"): Role.OPERATOR,
    ("DELETE", "/api/v1/robots/{robot_id}/maintenance"): Role.OPERATOR,
    ("GET", "/api/v1/people"): Role.ADMIN,
    ("POST", "/api/v1/people"): Role.ADMIN,
    ("PATCH", "/api/v1/people/{name}"): Role.ADMIN,
    ("GET", "/api/v1/people/{name}/sessions"): Role.ADMIN,
    ("DELETE", "/api/v1/people/{name}/sessions"): Role.ADMIN,
    ("GET", "/api/v1/people/{name}/tokens"): Role.ADMIN,
    ("DELETE", "/api/v1/people/{name}/tokens/{token_id}"): Role.ADMIN,
    ("GET", "/api/v1/audit"): Role.ADMIN,
    ("POST", "/robots/{robot_id}/stop"): Role.OPERATOR,
    ("POST", "/robots/{robot_id}/rearm"): Role.OPERATOR,
    ("POST", "/robots/{robot_id}/tasks"): Role.OPERATOR,
    ("POST", "/robots/{robot_id}/faults"): Role.ENGINEER,
    ("POST", "/robots/{robot_id}/faults/clear"): Role.ENGINEER,
    ("POST", "/enrolments/{robot_id}/approve"): Role.ENGINEER,
}


def need_of(method: str, route: str | None) -> Need:
    """The least role; a route that nobody put into the table is for nobody but an admin."""
    if route is None:
        return Role.VIEWER  # there is nothing there, and only who is logged in may learn that
    wanted = "GET" if method in ("HEAD", "OPTIONS") else method
    return ROUTES.get((wanted, route), Role.ADMIN)


def decide(who: Principal | None, need: Need) -> Verdict:
    match need:
        case Open():
            return Verdict.ALLOWED
        case Role():
            if who is None:
                return Verdict.WHO
            return Verdict.ALLOWED if who.role.covers(need) else Verdict.FORBIDDEN
    assert_never(need)
