"""What the spool's tests share: records, a clock that is told the time, a small spool."""

from pathlib import Path

from records import Severity
from runtime.telemetry.client import Record, RecordKind
from runtime.telemetry.line import encode_tags
from runtime.telemetry.spool import Spool
from runtime.telemetry.spool_file import SpoolLimits
from runtime.telemetry.stamp import Instant

TAGS = {"robot": "osaka-01", "site": "osaka", "hardware": "sim_x86", "version": "dev"}
WALL_NS = 1_700_000_000_000_000_000
S = 1_000_000_000
MIB = 2**20


def at(seconds: float, jump_ns: int = 0) -> Instant:
    now_ns = round(seconds * S)
    return Instant(now_ns, WALL_NS + now_ns + jump_ns)


def metric(seconds: float = 0.0, size: int = 100, name: str = "joint") -> Record:
    fields = {"q": 0.5, "text": "x" * size}
    return Record(RecordKind.METRIC, "visiond", name, Severity.INFO, round(seconds * S), fields)


def event(seconds: float = 0.0, severity: Severity = Severity.INFO, size: int = 20) -> Record:
    fields = {"task": 4, "text": "x" * size}
    created_ns = round(seconds * S)
    return Record(RecordKind.EVENT, "agentd", "task.done", severity, created_ns, fields)


def alert(seconds: float = 0.0, size: int = 20) -> Record:
    return event(seconds, Severity.CRITICAL, size)


def open_spool(path: Path | None, max_bytes: int = 8 * MIB, epoch: int = 77) -> Spool:
    tagset = encode_tags(TAGS)
    return Spool(path, limits=SpoolLimits(max_bytes), tagset=tagset, new_epoch=epoch)


def folder_bytes(folder: Path) -> int:
    return sum(item.stat().st_size for item in folder.iterdir())
