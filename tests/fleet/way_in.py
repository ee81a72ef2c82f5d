"""A way into a page under test: the link that `make run` prints."""

from fleet.clock import SystemClock
from fleet.people.first import welcome
from fleet.settings import FleetSettings
from fleet.store.rows import open_rows


def sign_in_link(settings: FleetSettings) -> str:
    """Good once; the account is made at the first."""
    rows = open_rows(settings.rows_url)
    found = welcome(rows, SystemClock())
    rows.dispose()
    return found.link(f"http://{settings.page_host}:{settings.page_port}/")
