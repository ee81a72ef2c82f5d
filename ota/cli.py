"""`bedplate ota`: from keys to a committed update. Each part has its commands in its own file."""

from importlib import import_module
from typing import Final

import typer

# In the order of the overview. A robot's image lacks what only a desk needs.
PARTS: Final = ("ota.cli_robot", "ota.cli_server", "ota.cli_boot")

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def ota() -> None:
    """Over-the-air updates: make, send, install, judge, take back."""


def mount(name: str) -> None:
    try:
        part: typer.Typer = import_module(name).app
    except ModuleNotFoundError:
        return  # a part, or a library of one, that this machine does without
    app.registered_commands.extend(part.registered_commands)
    app.registered_groups.extend(part.registered_groups)


for part_name in PARTS:
    mount(part_name)
