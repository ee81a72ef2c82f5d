"""Alertmanager beside the other processes of a fleet side: `python -m fleet.alerts.alertmanagerd`.

It becomes Debian's program, told what the settings say now. In production it is a service.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

from fleet.alerts.alertmanager import AlertmanagerError, command
from fleet.settings import SettingsError, read_settings

log = logging.getLogger(__name__)
EXIT_USAGE = 2


def main() -> None:
    parser = argparse.ArgumentParser(prog="alertmanager")
    parser.add_argument("--fleet-dir", type=Path, default=Path("var/fleet"))
    args, _rest = parser.parse_known_args()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s alertmanager %(levelname)s %(message)s"
    )
    try:
        settings = read_settings(args.fleet_dir.absolute())
        folder = settings.root / "alertmanager"
        words = command(settings.alerts.notify, folder, settings.page_url)
        os.execv(words[0], words)
    except (AlertmanagerError, SettingsError, OSError) as error:
        log.error("%s", error)
        sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    main()
