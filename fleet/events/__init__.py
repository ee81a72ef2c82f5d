"""Every event of every robot, to be asked by time, robot, task, type, expression and words."""

from fleet.events.filter import Filter, FilterError, parse_filter
from fleet.events.search import Cursor, Event, Wanted, find, read_cursor

__all__ = [
    "Cursor", "Event", "Filter", "FilterError", "Wanted", "find", "parse_filter", "read_cursor",
]  # fmt: skip
