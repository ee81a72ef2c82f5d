"""What several routes take: moments, and places in a list."""

from typing import Annotated

from fastapi import Query

from fleet.events import Cursor, read_cursor
from fleet.problem import ProblemError

NS_MAX = 2**63 - 1
MomentNs = Annotated[int | None, Query(ge=0, le=NS_MAX, description="ns since 1970")]
TimeCursor = Annotated[str | None, Query(pattern=r"^[0-9]{1,19}-[0-9]{1,19}$")]


def place_of(cursor: str | None) -> Cursor | None:
    """Where the next page of a list by time begins; None is the first page.

    ProblemError 400 for a cursor of the right form with numbers that no row can have.
    """
    if cursor is None:
        return None
    place = read_cursor(cursor)
    if place is None:
        raise ProblemError(400, "wrong_cursor", f"{cursor!r:.60} is no place in this list")
    return place
