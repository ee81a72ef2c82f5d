"""Why a build does not go on: one text that says where, what, why it matters and what to try."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """One reason to stop, as a person needs it."""

    where: str
    got: str
    because: str
    suggestion: str

    def __str__(self) -> str:
        return f"{self.where}\n  got {self.got}\n  because {self.because}\n  try  {self.suggestion}"


class BuildRefused(RuntimeError):
    """Everything that is in the way, all at once."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        super().__init__("\n\n".join(str(problem) for problem in self.problems))


def refused(where: str, got: str, because: str, suggestion: str) -> BuildRefused:
    return BuildRefused([Problem(where, got, because, suggestion)])
