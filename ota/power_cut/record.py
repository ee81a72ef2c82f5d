"""A guest whose disk writes are recorded: the same guest, with QEMU's recorder under its disk."""

from collections.abc import Sequence
from pathlib import Path

DRIVE = "if=none,id=disk,"


def recorded(words: Sequence[str], overlay: Path, log: Path) -> list[str]:
    """The command of a guest, its disk behind `blklogwrites`. `overlay` is its qcow2.

    The count in the log's first block is written with every entry, so that a guest that is killed
    leaves a log that can be read.
    """
    log.write_bytes(b"")
    found: list[str] = []
    left = iter(words)
    replaced = False
    for word in left:
        value = next(left) if word == "-drive" else ""
        if value.startswith(DRIVE):
            below = f"driver=qcow2,node-name=below,file.driver=file,file.filename={overlay}"
            above = (
                f"driver=blklogwrites,node-name=disk,file=below,log.driver=file,log.filename={log}"
            )
            found += ["-blockdev", below, "-blockdev", f"{above},log-super-update-interval=1"]
            replaced = True
        else:
            found += [word, value] if value else [word]
    if not replaced:
        raise ValueError(f"no  -drive {DRIVE}…  in the guest's command: its writes go elsewhere")
    return found
