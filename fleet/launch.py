"""How what serves the fleet begins: `fleetd`, and the servers of others beside it.

Its folder is an argument; why it cannot begin is a line of its log and a status of its own.
"""

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from fleet.settings import FleetSettings, SettingsError, read_settings

log = logging.getLogger(__name__)
EXIT_USAGE = 2


def launch(
    name: str, serve: Callable[[FleetSettings], int | None], *refusals: type[Exception]
) -> None:
    """Ends with what `serve` returns; `refusals` are what it raises when it cannot begin."""
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--fleet-dir", type=Path, default=Path("var/fleet"))
    args, _rest = parser.parse_known_args()
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {name} %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each question is too much
    try:
        sys.exit(serve(read_settings(args.fleet_dir.absolute())))
    except (SettingsError, *refusals) as error:
        log.error("%s", error)
        sys.exit(EXIT_USAGE)
