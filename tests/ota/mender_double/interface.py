"""The interface of the server as facts: paths, parameters, types, answers; none of its text.

They are taken from the OpenAPI description that the server's makers publish (mendersoftware/
mender-server, backend/docs/api/dist/openapi.yaml), whose place MENDER_OPENAPI names: it is
theirs, and no copy of it is kept here.
"""

from pathlib import Path
from typing import Any

import yaml

PROSE = {
    "description", "summary", "example", "examples", "tags", "operationId", "title", "deprecated",
    "x-deprecated-description", "x-go-name",
}  # fmt: skip

_DEVICE = "/api/devices/v1"
_V1, _V2 = "/api/management/v1", "/api/management/v2"
_NEXT = f"{_DEVICE}/deployments/device/deployments"
_DEPLOYMENTS = f"{_V1}/deployments/deployments"
_ARTIFACTS = f"{_V1}/deployments/artifacts"
_DEVAUTH = f"{_V2}/devauth/devices"
_INVENTORY = f"{_V1}/inventory"
PATHS = (
    f"{_DEVICE}/authentication/auth_requests",
    f"{_DEVICE}/inventory/device/attributes",
    f"{_NEXT}/next",
    f"{_NEXT}/{{id}}/status",
    f"{_NEXT}/{{id}}/log",
    f"{_V1}/useradm/auth/login",
    _DEVAUTH,
    f"{_DEVAUTH}/count",
    f"{_DEVAUTH}/{{id}}",
    f"{_DEVAUTH}/{{id}}/auth/{{aid}}/status",
    _ARTIFACTS,
    f"{_ARTIFACTS}/list",
    f"{_ARTIFACTS}/{{id}}",
    f"{_ARTIFACTS}/{{id}}/download",
    _DEPLOYMENTS,
    f"{_DEPLOYMENTS}/releases",
    f"{_DEPLOYMENTS}/group/{{name}}",
    f"{_DEPLOYMENTS}/devices/{{id}}",
    f"{_DEPLOYMENTS}/{{id}}",
    f"{_DEPLOYMENTS}/{{deployment_id}}/status",
    f"{_DEPLOYMENTS}/{{deployment_id}}/statistics",
    f"{_DEPLOYMENTS}/{{deployment_id}}/devices/list",
    f"{_DEPLOYMENTS}/{{deployment_id}}/devices/{{device_id}}/log",
    f"{_INVENTORY}/devices/{{id}}/group",
    f"{_INVENTORY}/devices/{{id}}/group/{{name}}",
    f"{_INVENTORY}/groups",
    f"{_INVENTORY}/groups/{{name}}/devices",
    f"{_V2}/inventory/filters/search",
)


def reduce(whole: dict[str, Any]) -> dict[str, Any]:
    """Our paths, what they refer to, and nothing written for people."""
    paths = {path: _bare(whole["paths"][path]) for path in PATHS}
    components: dict[str, dict[str, Any]] = {
        "securitySchemes": _bare(whole["components"]["securitySchemes"])
    }
    wanted, seen = _references(paths), set[str]()
    while wanted:
        reference = wanted.pop()
        if reference in seen:
            continue
        seen.add(reference)
        kind, name = reference.removeprefix("#/components/").split("/")
        part = _bare(whole["components"][kind][name])
        components.setdefault(kind, {})[name] = part
        wanted |= _references(part)
    ordered = {kind: dict(sorted(parts.items())) for kind, parts in sorted(components.items())}
    return {
        "openapi": whole["openapi"],
        "info": {"title": "Mender", "version": "1"},
        "paths": paths,
        "components": ordered,
    }


def _bare(node: Any, *, names: bool = False) -> Any:
    """Without prose; under `properties` and the like the keys are names and all of them stay."""
    if isinstance(node, list):
        return [_bare(item) for item in node]
    if not isinstance(node, dict):
        return node
    naming = {"properties", "schemas", "responses", "parameters", "securitySchemes", "headers"}
    kept = {
        key: _bare(value, names=key in naming and not names)
        for key, value in node.items()
        if names or key not in PROSE
    }
    # A response must have a description, be it empty.
    return {**kept, "description": ""} if _is_response(node) and not names else kept


def _is_response(node: dict[str, Any]) -> bool:
    return "description" in node and not {"type", "in", "name", "properties", "scheme"} & set(node)


def _references(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*(_references(item) for item in node))
    if not isinstance(node, dict):
        return set()
    mine = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
    return mine.union(*(_references(value) for value in node.values()))


def load(path: Path) -> dict[str, Any]:
    """Of the whole description what the double has."""
    return reduce(yaml.load(path.read_text(), yaml.CSafeLoader))
