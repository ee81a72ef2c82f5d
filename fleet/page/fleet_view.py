"""What the fleet's page says, by key: the same for the first load and for every update. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from urllib.parse import urlencode

from conf.schema.alerts import Severity
from fleet.metrics import FailureMode, Latency, Percentiles
from fleet.numbers import Known
from fleet.page.parts import amount, bar, duration, plain
from fleet.page.trends import Trend, trend
from fleet.page.view import BAD, GOOD, QUIET, UNKNOWN, WARN, View
from fleet.picture import Attention, Picture, Version
from fleet.roster import Duty, Line, SortKey, Wanted, choose
from fleet.settings import Targets
from fleet.words import several

ROWS = 50
FAILURES_SHOWN = 5
ATTENTION_SHOWN = 12
VERSIONS_SHOWN = 6
DUTY_STATE = {
    Duty.BUSY: GOOD,
    Duty.IDLE: QUIET,
    Duty.STOPPED: BAD,
    Duty.MAINTENANCE: QUIET,
    Duty.STALE: WARN,
    Duty.OFFLINE: BAD,
}
COLUMNS: tuple[tuple[SortKey | None, str, str], ...] = (
    (SortKey.ROBOT, "Robot", "c-robot"),
    (SortKey.SITE, "Site", "c-site wide"),
    (SortKey.DUTY, "State", "c-duty"),
    (None, "Mode", "c-mode wide"),
    (SortKey.ALERTS, "Alerts", "c-alerts num"),
    (SortKey.SUCCESS, "Success", "c-success num"),
    (SortKey.DONE, "Done", "c-done num wide"),
    (SortKey.FAILED, "Failed", "c-failed num"),
    (SortKey.CYCLE, "Cycle p99", "c-cycle num wide"),
    (SortKey.MISSES, "Misses", "c-misses num wide"),
    (SortKey.BACKLOG, "Backlog", "c-backlog num wide"),
    (SortKey.VERSION, "Version", "c-version wide"),
    (SortKey.HEARD, "Heard", "c-heard num"),
)
FALLS_FIRST = frozenset(
    {SortKey.ALERTS, SortKey.DONE, SortKey.FAILED, SortKey.CYCLE, SortKey.MISSES, SortKey.BACKLOG}
)


@dataclass(frozen=True)
class Asked:
    """Which part of the list a viewer looks at."""

    wanted: Wanted
    page: int = 1

    def link(self, **changes: str | int | None) -> str:
        """The same question with changes, as a link; None takes a part away."""
        now: dict[str, str | int | None] = {
            "q": self.wanted.search or None,
            "duty": None if self.wanted.duty is None else self.wanted.duty.value,
            "unwell": "1" if self.wanted.healthy is False else None,
            "version": self.wanted.artifact,
            "sort": None if self.wanted.sort is SortKey.ROBOT else self.wanted.sort.value,
            "down": "1" if self.wanted.descending else None,
            "page": None if self.page == 1 else self.page,
        }
        query = {key: value for key, value in {**now, **changes}.items() if value is not None}
        return f"/fleet?{urlencode(query)}" if query else "/fleet"


def asked_of(query: dict[str, str]) -> Asked:
    """From an address; a word that makes no sense there is as if it were not there."""
    duty, sort = query.get("duty"), query.get("sort")
    number = query.get("page", "1")
    wanted = Wanted(
        search=query.get("q", "")[:100].strip(),
        duty=Duty(duty) if duty in list(Duty) else None,
        healthy=False if query.get("unwell") == "1" else None,
        artifact=query["version"][:100] if query.get("version") else None,
        sort=SortKey(sort) if sort in list(SortKey) else SortKey.ROBOT,
        descending=query.get("down") == "1",
    )
    page = int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 1
    return Asked(wanted, max(1, page))


@dataclass(frozen=True)
class Column:
    """A heading: what a click on it asks for, and how the list is sorted by it now."""

    words: str
    kind: str
    link: str
    sorted: str


def columns(asked: Asked) -> list[Column]:
    made = []
    for key, words, kind in COLUMNS:
        if key is None:
            made.append(Column(words, kind, "", ""))
            continue
        here = asked.wanted.sort is key
        down = not asked.wanted.descending if here else key in FALLS_FIRST
        link = asked.link(
            sort=None if key is SortKey.ROBOT else key.value, down="1" if down else None, page=None
        )
        now = "descending" if asked.wanted.descending else "ascending"
        made.append(Column(words, kind, link, now if here else ""))
    return made


def fleet_view(picture: Picture, known: Known, targets: Targets, now_s: float) -> View:
    """All that does not depend on which robots a viewer looks at."""
    view = View()
    _counts(view, picture)
    _tasks(view, known, targets)
    _latency(view, picture, known, targets)
    view.markup["versions"] = versions(picture.versions, picture.counts.robots)
    view.markup["attention"] = attention(picture.attention, picture.attention_in_all, now_s)
    return view


def _counts(view: View, picture: Picture) -> None:
    counts = picture.counts
    share = counts.healthy / counts.robots if counts.robots else None
    state = QUIET if share is None else GOOD if share >= 0.98 else WARN if share >= 0.9 else BAD
    view.put("n.robots", several(counts.robots, "robot"))
    view.put("n.healthy", amount(counts.healthy), state)
    view.put("n.healthy.share", UNKNOWN if share is None else f"{100 * share:.1f} %")
    view.markup["n.healthy.bar"] = bar(share, "Share of robots that are healthy")
    for duty in Duty:
        number = counts.by_duty.get(duty, 0)
        alarming = DUTY_STATE[duty] in (WARN, BAD) and number
        view.put(f"n.{duty.value}", amount(number), DUTY_STATE[duty] if alarming else QUIET)


def _tasks(view: View, known: Known, targets: Targets) -> None:
    now = known.now
    target = f"target {100 * targets.success_ratio:g} %"
    if now is None:
        for key in ("success", "uptime", "tasks.done", "tasks.failed", "tasks.rate", "tasks.took"):
            view.put(key, "not known yet", QUIET)
        view.put("success.why", target)
        view.put("uptime.why", f"target {100 * targets.uptime_ratio:g} %")
        view.markup["failures"] = '<p class="none">Not known yet.</p>'
        view.markup["week"] = '<p class="none">Not known yet.</p>'
        return
    tally = now.tally
    _ratio(view, "success", tally.success_ratio, targets.success_ratio)
    between = tally.success_interval
    span = "" if between is None else f", 95 % between {_pct(between[0])} and {_pct(between[1])}"
    view.put("success.why", f"{target}{span}")
    _ratio(view, "uptime", now.uptime.ratio, targets.uptime_ratio)
    view.put("uptime.why", f"target {100 * targets.uptime_ratio:g} %, last hour")
    view.put("tasks.done", amount(tally.done))
    view.put("tasks.failed", amount(tally.failed), WARN if tally.failed else QUIET)
    view.put("tasks.rate", f"{amount(now.throughput_per_min, 1)} a minute")
    took = tally.mean_duration_s
    view.put("tasks.took", UNKNOWN if took is None else f"{took:.1f} s each")
    view.markup["failures"] = failures(now.failure_modes, tally.failed)
    view.markup["week"] = week(known, targets)


def _ratio(view: View, key: str, ratio: float | None, target: float) -> None:
    if ratio is None:
        view.put(key, UNKNOWN, QUIET)
        return
    near = 1 - (1 - target) * 2
    view.put(key, _pct(ratio), GOOD if ratio >= target else WARN if ratio >= near else BAD)


def _pct(ratio: float) -> str:
    """Rounded down, so that nothing short of all is ever a hundred."""
    return f"{int(ratio * 1000) / 10:.1f} %"


def _latency(view: View, picture: Picture, known: Known, targets: Targets) -> None:
    rows = []
    latencies: dict[Latency, Percentiles] = {} if known.now is None else known.now.latencies
    words = {
        Latency.ACTION: "camera to motor",
        Latency.INFERENCE: "policy, one look",
        Latency.PERCEPTION: "perception, level 1",
        Latency.TASK: "a whole task",
    }
    for kind, label in words.items():
        found = latencies.get(kind)
        three = (None,) * 3 if found is None else (found.p50_ms, found.p95_ms, found.p99_ms)
        limit = targets.latency_p95_ms if kind is Latency.ACTION else None
        late = limit is not None and three[1] is not None and three[1] > limit
        rows.append(_latency_row(label, [_ms(value) for value in three], late=late))
    cycle = picture.cycle
    three_us = (None,) * 3 if cycle is None else (cycle.p50_us, cycle.p95_us, cycle.p99_us)
    rows.append(_latency_row("control cycle", [_us(value) for value in three_us], late=False))
    view.markup["latency"] = "".join(rows)


def _latency_row(label: str, values: Sequence[str], *, late: bool) -> str:
    marked = ' data-state="warn"' if late else ""
    cells = f"<td>{values[0]}</td><td{marked}>{values[1]}</td><td>{values[2]}</td>"
    return f"<tr><th scope=row>{label}</th>{cells}</tr>"


def _ms(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:,.1f} ms" if value < 1000 else f"{value / 1000:,.1f} s"


def _us(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return "beyond" if value == float("inf") else f"{value:,.0f} µs"


def failures(modes: Sequence[FailureMode], failed: int) -> str:
    if not modes:
        return '<p class="none">No task has failed.</p>'
    shown = modes[:FAILURES_SHOWN]
    rows = [(f"{plain(mode.reason)}", plain(mode.task), mode.failed) for mode in shown]
    rest = failed - sum(mode.failed for mode in shown)
    if rest > 0:
        rows.append(("everything else", "", rest))
    return "".join(
        f"<tr><th scope=row>{escape(reason)}<small>{escape(task)}</small></th>"
        f"<td>{number:,}</td><td>{100 * number / max(1, failed):.0f} %</td>"
        f"<td class=spark>{bar(number / max(1, failed), reason)}</td></tr>"
        for reason, task, number in rows
    ).join(("<table class=counts><tbody>", "</tbody></table>"))


def versions(found: Sequence[Version], robots: int) -> str:
    rows = []
    for version in found[:VERSIONS_SHOWN]:
        name = version.artifact or "not told"
        link = Asked(Wanted(artifact=version.artifact)).link() if version.artifact else "/fleet"
        rows.append(
            f'<tr><th scope=row><a href="{escape(link)}">{escape(name)}</a></th>'
            f"<td><code>{escape((version.profile or UNKNOWN)[:8])}</code></td>"
            f"<td><code>{escape((version.model or UNKNOWN)[-8:])}</code></td>"
            f"<td>{version.robots:,}</td>"
            f"<td class=spark>{bar(version.robots / max(1, robots), name)}</td></tr>"
        )
    if len(found) > VERSIONS_SHOWN:
        more = sum(version.robots for version in found[VERSIONS_SHOWN:])
        rows.append(
            f"<tr><th scope=row>{several(len(found) - VERSIONS_SHOWN, 'other')}</th>"
            f"<td></td><td></td><td>{more:,}</td><td></td></tr>"
        )
    return "".join(rows)


def attention(found: Sequence[Attention], in_all: int, now_s: float) -> str:
    """What somebody should look at, the worst first, each with what to do."""
    if not found:
        return '<p class="none well">Nothing needs attention.</p>'
    items = []
    for group in grouped(found)[:ATTENTION_SHOWN]:
        one, others = group[0], len(group) - 1
        page = escape(one.alarm.runbook.rsplit("/", 1)[-1].removesuffix(".md"))
        who = escape(one.subject)
        flaps = " <span class=chip>flapping</span>" if one.alarm.flapping else ""
        old = "" if one.alarm.known else " <span class=chip>when last heard</span>"
        where = (
            who if one.subject == "fleet" else f'<a class="whose" href="/robots/{who}">{who}</a>'
        )
        many = f"<small>and {several(others, 'other robot')}</small>" if others else ""
        items.append(
            f'<li class="alert {one.alarm.severity.value}">{where}{many}'
            f"<b>{escape(one.alarm.summary)}</b>{flaps}{old}"
            f"<span>for {duration(now_s - one.alarm.since_s)}</span>"
            f'<a class="do" href="/runbooks/{page}">What to do</a></li>'
        )
    more = in_all - len(found)
    if more > 0:
        items.append(f'<li class="more"><a href="/fleet?sort=alerts&amp;down=1">{more:,} more</a>')
    return f"<ul>{''.join(items)}</ul>"


def grouped(found: Sequence[Attention]) -> list[list[Attention]]:
    """Robots that the same rule fires for, together: a site that loses power is one line."""
    groups: dict[tuple[str, str], list[Attention]] = {}
    for one in found:
        key = one.alarm.name if one.subject != "fleet" else f"fleet {one.alarm.name}"
        groups.setdefault((one.alarm.severity.value, key), []).append(one)
    return list(groups.values())


def week(known: Known, targets: Targets) -> str:
    days = known.week
    if not days:
        return '<p class="none">Not known yet.</p>'
    labels = [datetime.fromtimestamp(day.start_s, UTC).strftime("%a") for day in days]
    success = [day.tally.success_ratio for day in days]
    drawn = (
        Trend("Success", [None if v is None else 100 * v for v in success], "%", 1).aimed(
            100 * targets.success_ratio
        ),
        Trend("Tasks done", [float(day.tally.done) for day in days], "", 0),
        Trend("Camera to motor, p95", [day.action.p95_ms for day in days], "ms", 0).aimed(
            targets.latency_p95_ms
        ),
    )
    return "".join(trend(one, labels) for one in drawn)


def rows_view(picture: Picture, asked: Asked, now_s: float) -> View:
    """The visible part of the list: its order, its rows, and where it lies in the whole."""
    found = choose(picture.lines, asked.wanted)
    pages = max(1, -(-len(found) // ROWS))
    page = min(asked.page, pages)
    shown = found[(page - 1) * ROWS : page * ROWS]
    view = View()
    view.text["rows"] = " ".join(line.robot_id for line in shown)
    for line in shown:
        view.markup[f"row.{line.robot_id}"] = row(line, now_s)
    first = (page - 1) * ROWS + 1
    if found:
        view.put("shown", f"{first:,}–{first + len(shown) - 1:,} of {len(found):,}")
    else:
        view.put("shown", "No robot fits." if picture.lines else "No robot has been heard yet.")
    view.markup["turn"] = turn(asked, page, pages)
    return view


def turn(asked: Asked, page: int, pages: int) -> str:
    if pages == 1:
        return ""
    parts = []
    for number, words in ((page - 1, "Previous"), (page + 1, "Next")):
        if 1 <= number <= pages:
            link = escape(asked.link(page=None if number == 1 else number))
            parts.append(f'<a class="turn" href="{link}">{words}</a>')
        else:
            parts.append(f'<span class="turn off">{words}</span>')
    return f"{parts[0]}<span>page {page} of {pages}</span>{parts[1]}"


def row(line: Line, now_s: float) -> str:
    """Each word of a robot is escaped here."""
    name = escape(line.robot_id)
    modes = " + ".join(plain(mode) for mode in line.modes) or UNKNOWN
    odd = "" if line.modes in ((), ("nominal",)) else ' class="odd"'
    doing = plain(line.phase) if line.duty is Duty.BUSY and line.phase else line.duty.value
    ratio = line.success_ratio
    worst = line.worst or Severity.INFO
    alerts = f'<span class="count {worst.value}">{line.alerts}</span>' if line.alerts else "0"
    well = "" if line.healthy else " unwell"
    cells = (
        f'<a href="/robots/{name}">{name}</a>',
        escape(line.site),
        f'<span class="pill dot small{well}" data-state="{DUTY_STATE[line.duty]}">'
        f"{escape(doing)}</span>",
        f"<span{odd}>{escape(modes)}</span>",
        alerts,
        UNKNOWN if ratio is None else _pct(ratio),
        amount(line.done),
        amount(line.failed),
        _us(line.cycle_p99_us),
        amount(line.misses),
        amount(line.backlog),
        f"<code>{escape(line.artifact or UNKNOWN)}</code>",
        _heard(line, now_s),
    )
    return "".join(
        f'<td class="{kind}">{cell}</td>'
        for (_key, _words, kind), cell in zip(COLUMNS, cells, strict=True)
    )


def _heard(line: Line, now_s: float) -> str:
    """Coarse, so that a row of which nothing is new is not sent anew every second."""
    if line.heard_s is None:
        return "never"
    if line.duty not in (Duty.STALE, Duty.OFFLINE) and line.freshness.value == "live":
        return "live"
    return f"{duration(now_s - line.heard_s)} ago"
