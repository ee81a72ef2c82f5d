"""docs/api.md from the API's own description:  python -m fleet.api.reference"""

from pathlib import Path
from typing import Any

from fastapi import FastAPI

from fleet.api.app import add_api, describe
from fleet.api.deeds import DeedsApi
from fleet.api.incidents import IncidentsApi
from fleet.api.people import PeopleApi
from fleet.api.robots import RobotsApi
from fleet.api.traces import TracesApi
from fleet.people.roles import Open, need_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"
HEAD = """# The fleet's API

Made from its own description by `python -m fleet.api.reference`; do not edit.

{about}

The description itself: `GET /api/v1/openapi.json`. Times in `_s` and `_ns` count from 1970, UTC.
What is not known is null, never zero.

| request | least role | what |
|---|---|---|
"""


def reference(described: dict[str, Any]) -> str:
    rows = [
        f"| `{method.upper()} {path}` | {role_of(method, path)} | {operation['summary']} |"
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    ]
    about = described["info"]["description"]
    parts = [HEAD.format(about=about) + "\n".join(rows)]
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            parts.append(_operation(method, path, operation))
    parts.append("## Answers")
    for name, schema in sorted(described["components"]["schemas"].items()):
        parts.append(_schema(name, schema))
    return "\n\n".join(parts) + "\n"


def role_of(method: str, path: str) -> str:
    need = need_of(method.upper(), path)
    return "nobody" if isinstance(need, Open) else need.value


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    lines = [f"### {method.upper()} {path}", ""]
    for parameter in operation.get("parameters", []):
        about = parameter.get("description") or parameter["schema"].get("description", "")
        needed = ", required" if parameter.get("required") else ""
        kind = _kind(parameter["schema"])
        lines.append(f"- `{parameter['name']}` ({kind}{needed}) {about}".rstrip())
    if "requestBody" in operation:
        lines.append(f"- body: {_content(operation['requestBody'])}")
    good = next(status for status in operation["responses"] if status.startswith("2"))
    answer = _content(operation["responses"][good])
    errors = ", ".join(status for status in operation["responses"] if not status.startswith("2"))
    lines.append(f"- answers {good}{f': {answer}' if answer else ''}; problems: {errors}")
    return "\n".join(lines)


def _content(holder: dict[str, Any]) -> str:
    for media in holder.get("content", {}).values():
        return _kind(media["schema"])
    return ""


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rsplit('/', 1)[-1]}`"
    if "anyOf" in schema:
        return " or ".join(_kind(part) for part in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(str(word) for word in schema["enum"])
    if "const" in schema:
        return f"always {schema['const']}".lower()
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("type", "anything"))


def _schema(name: str, schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return f"**{name}**: {_kind(schema)}"
    lines = [f"**{name}**", ""]
    for field, part in schema.get("properties", {}).items():
        lines.append(f"- `{field}`: {_kind(part)} {part.get('description', '')}".rstrip())
    return "\n".join(lines)


def described() -> dict[str, Any]:
    """The description needs the routes alone, not what stands behind them."""
    app = FastAPI()
    parts = (RobotsApi, DeedsApi, TracesApi, IncidentsApi, PeopleApi)
    add_api(app, *(part.__new__(part) for part in parts))
    return describe(app)


def main() -> None:
    DOCUMENT.write_text(reference(described()))


if __name__ == "__main__":
    main()
