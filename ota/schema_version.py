"""What tells one set of settings from another: a hash of the schema without its words.

A robot reads only profiles of its own schema; a profile artifact depends on the one it was made
with, and a root filesystem provides its own.
"""

import hashlib
from functools import cache
from typing import Any, Final

import orjson

from conf.schema import Config

WORDS: Final = frozenset({"description", "title", "because", "suggest", "examples"})
HEX: Final = 16


@cache
def schema_version() -> str:
    wordless = _without_words(Config.model_json_schema(mode="validation"))
    return hashlib.sha256(orjson.dumps(wordless, option=orjson.OPT_SORT_KEYS)).hexdigest()[:HEX]


def _without_words(value: Any, *, of_names: bool = False) -> Any:
    """A setting may itself be called `description`: names of settings are no words."""
    if isinstance(value, dict):
        return {
            key: _without_words(inner, of_names=not of_names and key in {"properties", "$defs"})
            for key, inner in value.items()
            if of_names or key not in WORDS
        }
    if isinstance(value, list):
        return [_without_words(inner) for inner in value]
    return value
