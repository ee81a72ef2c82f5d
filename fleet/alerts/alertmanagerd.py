"""Alertmanager beside the other processes of a fleet side: `python -m fleet.alerts.alertmanagerd`.

It becomes Debian's program, told what the settings say now. In production it is a service.
"""

import os
from typing import NoReturn

from fleet.alerts.alertmanager import AlertmanagerError, command
from fleet.launch import launch
from fleet.settings import FleetSettings


def serve(settings: FleetSettings) -> NoReturn:
    """AlertmanagerError or OSError where it is not to be had."""
    folder = settings.root / "alertmanager"
    words = command(settings.alerts.notify, folder, settings.page_url)
    os.execv(words[0], words)


def main() -> None:
    launch("alertmanager", serve, AlertmanagerError, OSError)


if __name__ == "__main__":
    main()
