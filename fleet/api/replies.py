"""What the API answers. What is not known is null, never zero."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from conf.schema.alerts import Severity
from fleet.events import Event
from fleet.metrics import Day, FleetNow, Percentiles, Tally
from fleet.people.accounts import Person
from fleet.people.audit import Entry
from fleet.people.keys import Session, Token
from fleet.people.roles import Principal, Role
from fleet.picture import Attention, CycleTime, Picture, Version
from fleet.robot import Freshness
from fleet.roster import Duty, Line
from fleet.store.books import Account
from fleet.upkeep import Maintenance


class Reply(BaseModel):
    model_config = ConfigDict(frozen=True)


class Problem(Reply):
    """RFC 9457."""

    type: str = Field(description="stable, for programs: urn:bedplate:problem:…")
    title: str
    status: int
    detail: str = Field(description="for people: what, why, and what to try")


class RobotReply(Reply):
    robot_id: str
    site: str
    duty: Duty
    healthy: bool = Field(description="heard now, Tier 1 speaks, not stopped, no alert")
    freshness: Freshness
    heard_s: float | None = Field(description="when it was last heard, since 1970")
    modes: list[str]
    stop: str | None = Field(description="rung of the stop ladder")
    task_id: int | None
    phase: str | None
    done: int | None = Field(description="tasks, since its processes started")
    failed: int | None
    success_ratio: float | None
    cycle_p99_us: float | None = Field(description="control cycle, since Tier 1 started")
    misses: int | None = Field(description="deadlines missed, since Tier 1 started")
    backlog: int | None = Field(description="records still on their way")
    alerts: int
    worst: Severity | None
    artifact: str | None
    profile: str | None
    model: str | None

    @classmethod
    def of(cls, line: Line) -> "RobotReply":
        return cls.model_validate({**line.__dict__, "success_ratio": line.success_ratio})


class RobotsReply(Reply):
    items: list[RobotReply]
    next: str | None = Field(description="cursor of the next page; null: this is the last")


class AlertReply(Reply):
    name: str
    subject: str = Field(description="the robot, or `fleet`")
    site: str
    severity: Severity
    summary: str
    runbook: str = Field(description="what to do, as a page of this server")
    since_s: float
    flapping: bool
    known: bool = Field(description="false: it fired when last heard, and nothing is heard now")
    silenced: bool = Field(description="its robot is in maintenance: nobody is told")

    @classmethod
    def of(cls, attention: Attention) -> "AlertReply":
        page = runbook_page(attention.alarm.runbook)
        known = {**attention.__dict__, **attention.alarm.__dict__, "runbook": page}
        del known["alarm"]
        return cls.model_validate(known)


class AlertsReply(Reply):
    items: list[AlertReply]
    in_all: int


class MaintenanceReply(Reply):
    since_s: int
    until_s: int = Field(description="then it ends by itself")
    who: str
    reason: str
    silenced: bool = Field(description="Alertmanager was told to tell nobody of its alerts")

    @classmethod
    def of(cls, found: Maintenance) -> "MaintenanceReply":
        known = {**found.__dict__, "silenced": bool(found.silence)}
        return cls.model_validate({name: known[name] for name in cls.model_fields})


class RobotDetailReply(Reply):
    robot: RobotReply
    alerts: list[AlertReply]
    maintenance: MaintenanceReply | None
    cameras: list[str] = Field(description="with a picture at /robots/…/snapshot/NAME")
    live: dict[str, Any] | None = Field(description="its newest live message, as it came")


class CountsReply(Reply):
    robots: int
    healthy: int
    by_duty: dict[Duty, int]


class VersionReply(Reply):
    artifact: str | None
    profile: str | None
    model: str | None
    robots: int

    @classmethod
    def of(cls, version: Version) -> "VersionReply":
        return cls.model_validate(version.__dict__)


class CycleReply(Reply):
    """Of all robots heard: from their histograms added up."""

    cycles: int
    p50_us: float | None
    p95_us: float | None
    p99_us: float | None

    @classmethod
    def of(cls, cycle: CycleTime) -> "CycleReply":
        known = {k: v if v != float("inf") else None for k, v in cycle.__dict__.items()}
        return cls.model_validate(known)


class TallyReply(Reply):
    done: int
    failed: int
    attempts: int
    errors: int = Field(description="attempts that failed")
    success_ratio: float | None
    success_interval: tuple[float, float] | None = Field(description="95 %, Wilson")
    error_ratio: float | None
    mean_duration_s: float | None

    @classmethod
    def of(cls, tally: Tally) -> "TallyReply":
        return cls(
            done=tally.done,
            failed=tally.failed,
            attempts=tally.attempts,
            errors=tally.errors,
            success_ratio=tally.success_ratio,
            success_interval=tally.success_interval,
            error_ratio=tally.error_ratio,
            mean_duration_s=tally.mean_duration_s,
        )


class PercentilesReply(Reply):
    samples: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None

    @classmethod
    def of(cls, found: Percentiles) -> "PercentilesReply":
        return cls.model_validate(found.__dict__)


class FailureReply(Reply):
    task: str
    reason: str
    failed: int


class NumbersReply(Reply):
    """Over a window of time, from what the store has."""

    window_s: float
    tally: TallyReply
    throughput_per_min: float
    uptime_ratio: float | None
    latencies: dict[str, PercentilesReply]
    failure_modes: list[FailureReply]

    @classmethod
    def of(cls, now: FleetNow) -> "NumbersReply":
        return cls(
            window_s=now.window_s,
            tally=TallyReply.of(now.tally),
            throughput_per_min=now.throughput_per_min,
            uptime_ratio=now.uptime.ratio,
            latencies={k.value: PercentilesReply.of(v) for k, v in now.latencies.items()},
            failure_modes=[
                FailureReply(task=m.task, reason=m.reason, failed=m.failed)
                for m in now.failure_modes
            ],
        )


class TargetsReply(Reply):
    success_ratio: float
    uptime_ratio: float
    latency_p95_ms: float


class FleetReply(Reply):
    counts: CountsReply
    versions: list[VersionReply]
    control_cycle: CycleReply | None
    alerts: int
    targets: TargetsReply
    numbers: NumbersReply | None = Field(description="null while the rows cannot be read")

    @classmethod
    def of(cls, picture: Picture, numbers: FleetNow | None, targets: TargetsReply) -> "FleetReply":
        counts = picture.counts
        return cls(
            counts=CountsReply(
                robots=counts.robots, healthy=counts.healthy, by_duty=counts.by_duty
            ),
            versions=[VersionReply.of(version) for version in picture.versions],
            control_cycle=None if picture.cycle is None else CycleReply.of(picture.cycle),
            alerts=picture.attention_in_all,
            targets=targets,
            numbers=None if numbers is None else NumbersReply.of(numbers),
        )


class DayReply(Reply):
    start_s: int
    tally: TallyReply
    action: PercentilesReply

    @classmethod
    def of(cls, day: Day) -> "DayReply":
        action = PercentilesReply.of(day.action)
        return cls(start_s=day.start_s, tally=TallyReply.of(day.tally), action=action)


class EventReply(Reply):
    time_ns: int = Field(description="when it happened, as far as the robot's clock is plausible")
    robot_id: str
    site: str
    version: str
    name: str
    severity: str
    source: str
    task: str
    task_id: int | None
    replayed: bool = Field(description="it came late, after an outage")
    fields: dict[str, bool | int | float | str | None]

    @classmethod
    def of(cls, event: Event) -> "EventReply":
        known = {**event.__dict__, "time_ns": event.at_ns, "robot_id": event.robot}
        return cls.model_validate(known)


class EventsReply(Reply):
    items: list[EventReply] = Field(description="newest first")
    next: str | None


class AccountReply(Reply):
    """What became of every record of one spool: head = all the others added up."""

    robot_id: str
    epoch: int
    head: int
    stored: int
    refused: int
    thinned: int
    pending: int
    missing: int
    missing_ranges: list[tuple[int, int]]
    at_ns: int

    @classmethod
    def of(cls, account: Account) -> "AccountReply":
        return cls.model_validate(
            {**account.__dict__, "missing_ranges": list(account.missing_ranges)}
        )


class AccountsReply(Reply):
    items: list[AccountReply]


class MessageReply(Reply):
    ok: Literal[True] = True
    message: str


class MeReply(Reply):
    name: str
    role: Role
    via: str

    @classmethod
    def of(cls, who: Principal) -> "MeReply":
        return cls(name=who.name, role=who.role, via=who.via.value)


class PersonReply(Reply):
    name: str
    role: Role
    disabled: bool
    created_s: int
    changed_s: int

    @classmethod
    def of(cls, person: Person) -> "PersonReply":
        return cls.model_validate(person.__dict__)


class PeopleReply(Reply):
    items: list[PersonReply]


class TokenReply(Reply):
    id: str
    person: str
    label: str
    role: Role
    created_s: int
    expires_s: int
    used_s: int | None

    @classmethod
    def of(cls, token: Token) -> "TokenReply":
        return cls.model_validate(token.__dict__)


class SessionReply(Reply):
    id: str = Field(description="a part of its hash: it opens nothing")
    address: str
    created_s: int
    seen_s: int = Field(description="to the minute")

    @classmethod
    def of(cls, session: Session) -> "SessionReply":
        return cls.model_validate({name: getattr(session, name) for name in cls.model_fields})


class SessionsReply(Reply):
    items: list[SessionReply] = Field(description="the last used first")


class TokensReply(Reply):
    items: list[TokenReply]


class NewTokenReply(Reply):
    token: TokenReply
    secret: str = Field(description="shown this once: Authorization: Bearer …")


class AuditReply(Reply):
    id: int
    at_ns: int
    who: str
    via: str
    address: str
    action: str
    target: str
    outcome: str

    @classmethod
    def of(cls, entry: Entry) -> "AuditReply":
        return cls.model_validate(entry.__dict__)


class AuditPageReply(Reply):
    items: list[AuditReply] = Field(description="newest first")
    next: str | None


def runbook_page(runbook: str) -> str:
    return f"/runbooks/{runbook.rsplit('/', 1)[-1].removesuffix('.md')}"
