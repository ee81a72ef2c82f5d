"""`bedplate ota`: from keys to a committed update. Each part has its commands in its own file.

A part is imported when one of its commands is asked for: on a robot in emulation, all of them
together take minutes to load.
"""

from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

# In the order of the overview. A robot's image lacks what only a desk needs.
PARTS: Final = ("ota.cli_robot", "ota.cli_desk", "ota.cli_server")


class Parts(TyperGroup):
    """The parts' commands as one group, the first part that has a command answering it.

    `Any`: a context and a command of the click that Typer carries in itself."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for part in PARTS for name in _commands(part)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        for part in PARTS:
            if (found := _commands(part).get(cmd_name)) is not None:
                return found
        return None


def _commands(part: str) -> dict[str, Any]:
    try:
        app: typer.Typer = import_module(part).app
    except ModuleNotFoundError:
        return {}  # a part, or a library of one, that this machine does without
    group = typer.main.get_group(app)
    return dict(group.commands)


app = typer.Typer(
    cls=Parts, rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False
)


@app.callback()
def ota() -> None:
    """Over-the-air updates: make, send, install, judge, take back."""
