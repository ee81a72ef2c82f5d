"""Group commit: records of a tenth of a second share one flush; alerts wait for none."""

from runtime.telemetry.client import Priority, Record, priority_of

MOST_RECORDS = 500  # a flood is committed in portions


class Batch:
    """What waits for the next commit. Decides when; commits nothing itself."""

    def __init__(self, commit_ns: int) -> None:
        self._commit_ns = commit_ns
        self._records: list[Record] = []
        self._since_ns: int | None = None
        self._urgent = False

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: Record, now_ns: int) -> None:
        if self._since_ns is None:
            self._since_ns = now_ns
        self._records.append(record)
        self._urgent = self._urgent or priority_of(record) is Priority.ALERT

    def urge(self) -> None:
        """Somebody waits to hear that what came before is on disk."""
        self._urgent = True

    def wait_ns(self, now_ns: int) -> int | None:
        """How long the next commit may wait; 0: now, None: nothing to commit."""
        if self._urgent or len(self._records) >= MOST_RECORDS:
            return 0
        if self._since_ns is None:
            return None
        return max(0, self._since_ns + self._commit_ns - now_ns)

    def take(self) -> list[Record]:
        taken, self._records = self._records, []
        self._since_ns, self._urgent = None, False
        return taken
