"""Runs under the recorder: fills a spool as a robot does, marks what was confirmed."""

import os
import sys
from pathlib import Path

from tests.telemetry.spools import MIB, alert, at, event, metric, open_spool

folder = Path(sys.argv[1])
mark = os.open(folder / "mark", os.O_WRONLY | os.O_CREAT)
spool = open_spool(folder / "spool.sqlite", max_bytes=MIB)
settled = 0
for step in range(400):
    batch = [metric(step, size=120 + step % 300) for _ in range(step % 9)]
    if step % 5 == 0:
        batch.append(event(step))
    if step % 7 == 0:
        batch.append(alert(step))
    spool.commit(batch, at(step))
    if step % 11 == 0 and spool.head > settled + 30:
        os.write(mark, f"{spool.head} {settled + 20}\n".encode())  # may be gone from here on
        settled += 20
        spool.settle(stored=[(1, settled)], refused=[], thinned=[])
    os.write(mark, f"{spool.head} {settled}\n".encode())
spool.close()
