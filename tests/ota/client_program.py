"""Which client the tests drive: Debian's 3.4, or a later one that MENDER_UPDATE names.

Later ones (4 and on) are `mender-update`; root filesystems are done by a module that comes with
them, which MENDER_ROOTFS_MODULE names where it is not in its usual place.
"""

import os
from pathlib import Path
from typing import Final

LATER: Final = os.environ.get("MENDER_UPDATE", "")
PROGRAM: Final = (LATER,) if LATER else ("mender", "--no-syslog")
USUAL: Final = "/usr/share/mender/modules/v3/rootfs-image"
ROOTFS_MODULE: Final = Path(os.environ.get("MENDER_ROOTFS_MODULE", USUAL)) if LATER else None

# What each says, by what has happened.
ERROR: Final = "severity=error" if LATER else "level=error"
WRONG_KEY: Final = "wrong key" if LATER else "verification failed"
WRONG_BOARD: Final = "device type doesn't match" if LATER else "not compatible with device"
WAITS: Final = "Update already in progress" if LATER else "an update waits"
# Later ones know no name before they are told one (`ota/provides.py` does), and no list of terms.
FLASHED: Final = "unknown" if LATER else "old"
TERMS: Final = ("7",) if LATER else ("7", "8")


def places(settings: Path, data: Path) -> tuple[str, ...]:
    """Nothing of this machine's own. A later client takes only a fallback that is there."""
    given = str(settings)
    return "--data", str(data), "--config", given, "--fallback-config", given
