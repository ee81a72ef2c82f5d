"""The card of an arm's policies: what they were made from, what they cost, how well they do."""

import hashlib
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
CARD_FILE = "card.yaml"


def arm_folder(arm: str) -> Path:
    return FOLDER / arm


def read_card(arm: str) -> dict[str, Any]:
    path = arm_folder(arm) / CARD_FILE
    return yaml.safe_load(path.read_text()) if path.is_file() else {}


def update_card(arm: str, section: str, value: object) -> None:
    """Replace one section; the others stay as they were measured."""
    card = read_card(arm)
    card[section] = value
    ordered = {key: card[key] for key in _ORDER if key in card}
    path = arm_folder(arm) / CARD_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(ordered, sort_keys=False, width=100))


def file_facts(path: Path) -> dict[str, object]:
    content = path.read_bytes()
    return {"file": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


_ORDER = (
    "about",
    "observation",
    "answer",
    "data",
    "primary",
    "backup",
    "quality",
    "limits_of_use",
)
