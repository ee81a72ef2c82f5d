"""What is wrong with a configuration, and how to say it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, order=True)
class Origin:
    """Where a value came from: a file and line, or something without lines."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


COMMAND_LINE = Origin("command line")
SCHEMA_DEFAULT = Origin("default of the schema")


@dataclass(frozen=True)
class Mistake:
    """One mistake: where, what was got, what is allowed, why it matters, what to try."""

    origin: Origin
    path: str
    got: str
    allowed: str
    because: str
    suggestion: str

    def __str__(self) -> str:
        return (
            f"{self.origin}  {self.path}\n"
            f"  got {self.got}, must be {self.allowed}\n"
            f"  because {self.because}\n"
            f"  try  {self.suggestion}"
        )

    def at(self, origin: Origin) -> "Mistake":
        return replace(self, origin=origin)


def unplaced(path: str, got: str, allowed: str, because: str, suggestion: str) -> Mistake:
    """A mistake found in values alone; whoever knows the files gives it its place."""
    return Mistake(Origin("conf/robot.yaml"), path, got, allowed, because, suggestion)


class ConfigError(ValueError):
    """A configuration that is refused, with everything that is wrong with it."""

    def __init__(self, mistakes: Iterable[Mistake], consequence: str = "nothing was composed"):
        self.mistakes = tuple(mistakes)
        self.consequence = consequence
        super().__init__(self._text())

    def _text(self) -> str:
        count = len(self.mistakes)
        total = "1 problem" if count == 1 else f"{count} problems"
        blocks = "\n\n".join(str(mistake) for mistake in self.mistakes)
        return f"{blocks}\n\n{total}; {self.consequence}"
