"""Which events a viewer asks for, from an address and back into one; how they are shown. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote, urlencode

from fleet.durations import DurationError, parse_duration
from fleet.events import Cursor, Event, FilterError, Wanted, parse_filter, read_cursor
from fleet.page.waterfall import details

NAMES = ("robot", "task", "task_id", "type", "severity", "since", "from", "to", "where", "words")
SEVERITIES = ("info", "warning", "critical")
SINCE = (("10m", "ten minutes"), ("1h", "hour"), ("24h", "day"), ("7d", "week"))
TEXT_MAX = 500
HIDDEN = frozenset({"name", "severity", "source", "task_id", "skill"})


@dataclass(frozen=True)
class Asked:
    """The form as it was filled in, what it means, and what of it makes no sense."""

    form: Mapping[str, str]
    wanted: Wanted
    after: Cursor | None = None
    mistakes: tuple[str, ...] = field(default=())

    def link(self, path: str = "/events", **changes: str | None) -> str:
        """The same question with changes; None takes a part away."""
        now: dict[str, str | None] = {**self.form, **changes}
        query = {name: value for name, value in now.items() if value}
        return f"{path}?{urlencode(query)}" if query else path


def asked_of(query: Mapping[str, str], now_ns: int) -> Asked:
    # PostgreSQL has no zero byte in a text, so no row is lost by leaving it out of the question.
    form = {name: query.get(name, "")[:TEXT_MAX].replace("\0", "").strip() for name in NAMES}
    mistakes: list[str] = []
    since_ns = _ago(form["since"], now_ns, mistakes)
    begin_ns = _moment(form["from"], "From", mistakes)
    wanted = Wanted(
        since_ns=begin_ns if begin_ns is not None else since_ns,
        until_ns=_moment(form["to"], "To", mistakes),
        robot=form["robot"] or None,
        task=form["task"] or None,
        task_id=_number(form["task_id"], mistakes),
        name=form["type"] or None,
        severity=_severity(form["severity"], mistakes),
        words=form["words"] or None,
    )
    try:
        where = parse_filter(form["where"]) if form["where"] else None
    except FilterError as error:
        where = None
        mistakes.append(str(error))
    wanted = Wanted(**{**wanted.__dict__, "where": where})
    return Asked(form, wanted, read_cursor(query.get("before", "")), tuple(mistakes))


def _ago(text: str, now_ns: int, mistakes: list[str]) -> int | None:
    if not text:
        return None
    try:
        return now_ns - round(parse_duration(text) * 1e9)
    except DurationError as error:
        mistakes.append(str(error))
        return None


def _moment(text: str, name: str, mistakes: list[str]) -> int | None:
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
        return round(when.timestamp() * 1e9)
    except (ValueError, OverflowError):
        mistakes.append(f"{name}: a time is 2026-11-22T14:30, in UTC; got {text!r:.40}")
        return None


def _number(text: str, mistakes: list[str]) -> int | None:
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    mistakes.append(f"Task number: digits only, got {text!r:.40}")
    return None


def _severity(text: str, mistakes: list[str]) -> str | None:
    if not text or text in SEVERITIES:
        return text or None
    mistakes.append(f"Severity: one of {', '.join(SEVERITIES)}, got {text!r:.40}")
    return None


def rows(events: Iterable[Event], *, whole: bool = True) -> str:
    """`whole`: with the columns that are the same for all on the page of one task."""
    return "".join(_row(event, whole=whole) for event in events)


def _row(event: Event, *, whole: bool) -> str:
    when = datetime.fromtimestamp(event.at_ns / 1e9, UTC)
    late = ' <span class="chip late">replayed</span>' if event.replayed else ""
    kind = event.severity if event.severity in SEVERITIES else "info"
    shown = {key: value for key, value in event.fields.items() if key not in HIDDEN}
    robot = f'<a href="/robots/{quote(event.robot, safe="")}">{escape(event.robot)}</a>'
    where = f"<td>{robot}</td><td>{_task(event)}</td>" if whole else ""
    return (
        f'<tr class="{kind}"><td><time datetime="{when.isoformat()}">'
        f'<span class="day">{when:%Y-%m-%d}</span> {when:%H:%M:%S}</time></td>'
        f"<td><code>{escape(event.name)}</code>{late}</td>{where}"
        f'<td class="details">{details(shown)}</td></tr>'
    )


def _task(event: Event) -> str:
    kind = escape(event.task)
    if event.task_id is None:
        return kind
    link = f"/robots/{quote(event.robot, safe='')}/tasks/{event.task_id}"
    return f'<a href="{link}">{event.task_id}</a> {kind}'
