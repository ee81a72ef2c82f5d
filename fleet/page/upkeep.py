"""What a page says of a robot that somebody works on. Pure."""

from datetime import UTC, datetime

from fleet.upkeep import Maintenance


def upkeep_words(kept: Maintenance | None) -> str:
    if kept is None:
        return ""
    until = datetime.fromtimestamp(kept.until_s, UTC)
    told = "messages about its alerts are held back" if kept.silence else "alerts stay on this page"
    return f"In maintenance until {until:%d %b %H:%M} UTC, by {kept.who}: {kept.reason}; {told}"
