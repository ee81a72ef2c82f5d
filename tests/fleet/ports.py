"""Ports of a test's own servers: those who test beside each other look in ranges of their own."""

import os
import re

from fleet.broker import free_port

RANGE = 50


def own_port(wanted: int) -> int:
    found = re.fullmatch(r"gw(\d+)", os.environ.get("PYTEST_XDIST_WORKER", "gw0"))
    return free_port(wanted + RANGE * (int(found[1]) if found else 0), tries=RANGE)
