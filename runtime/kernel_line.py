"""The kernel's command line, as a loader wrote it. It is read early in each boot: no imports."""


def argument(line: str, name: str) -> str | None:
    """A word of the kernel's command line; of one that is given twice the last one counts."""
    words = [word.partition("=") for word in line.split()]
    values = [value for key, _, value in words if key == name]
    return values[-1] if values else None
