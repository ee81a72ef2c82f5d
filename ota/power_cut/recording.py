"""What was recorded of a robot's updates, in a folder: the disk before, the log, what it means."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ota.power_cut.prove import Mark, Told

STORY: Final = "story.json"
VERSION: Final = 1


@dataclass(frozen=True)
class Installed:
    """A slot's content that is a legitimate one: what was flashed, or an artifact that came."""

    name: str
    digest: str  # as in judge.Slot


@dataclass(frozen=True)
class Recording:
    """`complete`: to the end of the story; until then what there is can be judged, and says so."""

    folder: Path
    made_at: str
    emulator: str
    client: str
    protocol: str  # hash of what decides and writes, see `protocol_hash`
    took_s: float
    installed: tuple[Installed, ...]
    marks: tuple[Mark, ...]
    complete: bool = True

    @property
    def disk(self) -> Path:
        return self.folder / "before.img"

    @property
    def log(self) -> Path:
        return self.folder / "writes"

    @property
    def key(self) -> Path:
        """Of the robot's operator."""
        return self.folder / "key"

    def told(self, *, damage: bool = False) -> Told:
        """For a proof of all cuts, or of the damage beside them."""
        known = {one.digest: one.name for one in self.installed}
        return Told(self.marks, known, cuts=not damage, damage=damage)

    def save(self) -> None:
        table = asdict(self) | {"version": VERSION}
        del table["folder"]
        part = self.folder / (STORY + ".part")
        part.write_text(json.dumps(table, indent=1) + "\n")
        part.replace(self.folder / STORY)


def load(folder: Path) -> Recording | None:
    """`None`: nothing was recorded here."""
    try:
        table = json.loads((folder / STORY).read_text())
    except FileNotFoundError:
        return None
    if table.pop("version") != VERSION:
        return None
    table["installed"] = tuple(Installed(**row) for row in table["installed"])
    table["marks"] = tuple(Mark(*row) for row in table["marks"])
    return Recording(folder=folder, **table)
