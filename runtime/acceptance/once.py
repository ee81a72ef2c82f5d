"""The acceptance that a robot was flashed with the wish for: `python -m runtime.acceptance.once`.

The wish is a file on data: how many cycles at most, or nothing for what the profile declares. It is
taken back when the measurement has ended, whatever it found; a power cut leaves it, and it is done
again. The robot starts in any case: what its deadlines came to is for the gate and for people.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from runtime.units import ACCEPTANCE_WISH

RESULT = "acceptance/first.json"
END = "acceptance ended with"


def cycles_of(wish: str) -> int | None:
    """None: as declared. What is no number is read so too: nothing is measured too short."""
    text = wish.strip()
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None


def main() -> None:
    parser = argparse.ArgumentParser(prog="once", description="The wished-for acceptance")
    parser.add_argument("--data-dir", type=Path, required=True)
    data: Path = parser.parse_args().data_dir
    wish = data / ACCEPTANCE_WISH
    words = [sys.executable, "-m", "bedplate", "rt", "accept", "--out", str(data / RESULT)]
    cycles = cycles_of(wish.read_text(encoding="utf-8", errors="replace"))
    if cycles is not None:
        words += ["--cycles", str(cycles)]
    ended = subprocess.run(words, check=False).returncode
    wish.unlink()
    sys.stdout.write(f"{END} {ended}\n")


if __name__ == "__main__":
    main()
