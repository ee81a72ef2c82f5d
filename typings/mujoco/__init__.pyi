"""MuJoCo ships no types: its bindings are compiled and its names are loaded at import."""

from typing import Any

def __getattr__(name: str) -> Any: ...
