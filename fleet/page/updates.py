"""How a robot stands with its updates, as its own gate tells it. Pure; whatever came may be odd."""

from collections.abc import Iterator
from html import escape
from typing import Any

from fleet.page.parts import UNKNOWN, bar, plain

GOOD, WARN, BAD, QUIET = "good", "warn", "bad", "quiet"
VERDICTS = {"pass": GOOD, "waiting": WARN, "unknown": WARN, "fail": BAD}
CERTAINTIES = {"ok": GOOD, "unknown": WARN, "wrong": BAD}
SHOWN_MAX = 12

Said = tuple[str, str, str]
"""Key, words, state."""


def update_words(update: Any) -> Iterator[Said]:
    """None: a machine without a gate, such as a simulated robot."""
    if not isinstance(update, dict):
        yield "update.slot", "no slots on this machine", QUIET
        yield "update.trial", UNKNOWN, QUIET
        yield "update.verdict", UNKNOWN, QUIET
        return
    slot, name = _word(update, "slot"), _word(update, "artifact_name")
    yield "update.slot", f"{slot.upper()}, {name}", QUIET
    trial = update.get("on_trial")
    attempts = update.get("attempts")
    tries = f", boot {attempts} of the trial" if isinstance(attempts, int) else ""
    words = {True: f"on trial, not committed yet{tries}", False: "committed"}
    known = trial if isinstance(trial, bool) else None
    said = UNKNOWN if known is None else words[known]
    yield "update.trial", said, {True: WARN, False: GOOD}.get(known, QUIET)  # type: ignore[arg-type]
    verdict = _word(update, "verdict")
    yield "update.verdict", plain(verdict), VERDICTS.get(verdict, QUIET)


def update_markup(update: Any) -> str:
    """What the gate has found, how far it is, and why the last trial failed."""
    if not isinstance(update, dict):
        return ""
    parts = [_progress(update), _reasons(update.get("reasons")), _findings(update)]
    switch, failure = update.get("switch"), update.get("last_failure")
    if isinstance(switch, dict):
        kind, name = _word(switch, "kind"), _word(switch, "artifact_name")
        verdict = plain(_word(switch, "verdict"))
        parts.append(f"<h3>Switching its {escape(kind)} to {escape(name)}: {escape(verdict)}</h3>")
        parts += [_progress(switch), _reasons(switch.get("reasons")), _findings(switch)]
    if isinstance(failure, dict):
        name, when = _word(failure, "artifact_name"), _word(failure, "decided_at")
        parts.append(f"<h3>Last taken back: {escape(name)}, {escape(when)}</h3>")
        parts.append(_reasons(failure.get("reasons")))
    return "".join(parts)


def _progress(judged: dict[str, Any]) -> str:
    elapsed, limit = judged.get("elapsed_s"), judged.get("timeout_s")
    settled = judged.get("verdict") in ("pass", "fail")
    if settled or not isinstance(elapsed, int | float) or not isinstance(limit, int | float):
        return ""
    text = f"{elapsed:.0f} of at most {limit:.0f} s"
    return f'<p class="none">Judged for {text}</p>{bar(elapsed / max(1, limit), "Judgement")}'


def _reasons(reasons: Any) -> str:
    if not isinstance(reasons, list) or not reasons:
        return ""
    items = "".join(f"<li>{escape(str(one)[:200])}</li>" for one in reasons[:SHOWN_MAX])
    return f'<ul class="reasons">{items}</ul>'


def _findings(judged: dict[str, Any]) -> str:
    findings = judged.get("findings")
    if not isinstance(findings, list) or not findings:
        return ""
    rows = []
    for one in findings[:SHOWN_MAX]:
        if isinstance(one, dict):
            state = CERTAINTIES.get(str(one.get("certainty")), QUIET)
            rows.append(
                f"<tr><th scope=row>{escape(_word(one, 'item'))}</th>"
                f'<td data-state="{state}">{escape(plain(_word(one, "certainty")))}</td>'
                f"<td>{escape(_word(one, 'found')[:160])}</td></tr>"
            )
    return f"<table class=findings><tbody>{''.join(rows)}</tbody></table>"


def _word(holder: dict[str, Any], key: str) -> str:
    value = holder.get(key)
    return value[:200] if isinstance(value, str) and value else UNKNOWN
