"""Archives whose hash is in a lock, unpacked by every Python that Debian ships."""

import tarfile
from collections.abc import Iterable
from pathlib import Path


def extract_all(archive: tarfile.TarFile, folder: Path, members: Iterable[tarfile.TarInfo]) -> None:
    """As they are. Python 3.11.2 knows no filters; later ones would by themselves refuse links
    that a root file system has every right to. The hash is what is trusted."""
    archive.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
    archive.extractall(folder, members)
