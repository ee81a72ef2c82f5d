"""Counts as people say them, for pages and commands alike."""

PLURALS = {"box": "boxes", "person": "people"}


def several(count: int, word: str) -> str:
    """`1 robot`, `2 robots`, `1,200 people`."""
    return f"{count:,} {noun(count, word)}"


def noun(count: float, word: str) -> str:
    return word if count == 1 else PLURALS.get(word, f"{word}s")
