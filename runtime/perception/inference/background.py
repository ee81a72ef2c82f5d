"""A network that gives way: on a CPU a large one must not keep the small, urgent one waiting.

A GPU runs streams side by side; a CPU session runs to its end on the thread that called it. So a
large network gets a thread of its own that the kernel schedules behind the others.
"""

import contextlib
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from runtime.perception.inference.port import Session, Tensors


class BackgroundSession:
    """One run at a time, in a thread that is `niceness` steps behind its process."""

    def __init__(self, session: Session, niceness: int) -> None:
        self._session = session
        self._thread = ThreadPoolExecutor(1, "background", _be_nicer, (niceness,))
        self._future: Future[Tensors | None] | None = None

    def start(self, tensors: Tensors) -> None:
        self._future = self._thread.submit(self._run, tensors)

    def collect(self) -> Tensors | None:
        """The outputs once they are there; raises what the run raised."""
        if self._future is None or not self._future.done():
            return None
        future, self._future = self._future, None
        return future.result()

    def _run(self, tensors: Tensors) -> Tensors | None:
        self._session.start(tensors)
        return self._session.collect()


def _be_nicer(niceness: int) -> None:
    with contextlib.suppress(OSError):  # where the kernel refuses it, it runs like the others
        own = threading.get_native_id()
        before = os.getpriority(os.PRIO_PROCESS, own)
        os.setpriority(os.PRIO_PROCESS, own, min(19, before + niceness))
