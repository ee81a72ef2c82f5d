"""Built TensorRT engines on disk. An engine fits one TensorRT build on one GPU, so all that it
depends on is in its name, and a new TensorRT simply finds nothing."""

import hashlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson


@dataclass(frozen=True)
class EngineKey:
    network_sha256: str
    tensorrt: str
    gpu: str
    capability: str
    driver: str
    shapes: tuple[str, ...]

    def file_name(self) -> str:
        text = orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS)
        return f"{self.network_sha256[:12]}-{hashlib.sha256(text).hexdigest()[:20]}.engine"


class EngineCache:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, key: EngineKey) -> bytes | None:
        """The engine, or None when there is none or its bytes are not what was stored."""
        try:
            data = (self._folder / key.file_name()).read_bytes()
        except OSError:
            return None
        digest, plan = data[:32], data[32:]
        return plan if hashlib.sha256(plan).digest() == digest else None

    def store(self, key: EngineKey, plan: bytes) -> None:
        self._write(key.file_name(), hashlib.sha256(plan).digest() + plan)

    def timing(self, key: EngineKey) -> bytes:
        """What earlier builds on this GPU measured: the next build takes seconds, not minutes."""
        path = self._folder / f"{_timing_name(key)}.timing"
        return path.read_bytes() if path.exists() else b""

    def store_timing(self, key: EngineKey, data: bytes) -> None:
        self._write(f"{_timing_name(key)}.timing", data)

    def forget(self, key: EngineKey) -> None:
        (self._folder / key.file_name()).unlink(missing_ok=True)

    def _write(self, name: str, data: bytes) -> None:
        """Whole or not at all, also when the power goes."""
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f".{name}.{os.getpid()}"
        with partial.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(self._folder / name)


def _timing_name(key: EngineKey) -> str:
    text = f"{key.tensorrt}|{key.gpu}|{key.capability}|{key.driver}"
    return hashlib.sha256(text.encode()).hexdigest()[:20]
