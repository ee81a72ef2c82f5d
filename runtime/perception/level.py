"""The three levels of the cascade."""

from enum import IntEnum

from runtime.shm.enums import Levels


class Level(IntEnum):
    FAST = 1
    REFINED = 2
    FULL = 3

    @property
    def bit(self) -> Levels:
        return Levels(1 << (self - 1))

    @property
    def key(self) -> str:
        """Its row in perception.levels."""
        return f"level_{int(self)}"
