"""The double as one ASGI application: a table of paths, and who may ask."""

import base64
import binascii
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.ota.mender_double.artifacts import Artifacts
from tests.ota.mender_double.deployments import Deployments
from tests.ota.mender_double.device_auth import DeviceAuth
from tests.ota.mender_double.device_side import DeviceSide
from tests.ota.mender_double.inventory import Inventory
from tests.ota.mender_double.replies import Refused, empty, error
from tests.ota.mender_double.state import Mender
from tests.ota.mender_double.tokens import USER_LIFE_S, make_token

Handler = Callable[[Request], Awaitable[Response]]
DEVICES = "/api/devices/v1"
V1 = "/api/management/v1"
V2 = "/api/management/v2"


def make_app(mender: Mender) -> Starlette:
    app = Starlette(routes=[*_device_routes(mender), *_management_routes(mender)])
    app.add_exception_handler(Refused, _refused)  # type: ignore[arg-type]
    app.add_exception_handler(404, _not_found)
    return app


def _device_routes(mender: Mender) -> list[Route]:
    auth, side, inventory = DeviceAuth(mender), DeviceSide(mender), Inventory(mender)
    deployments = f"{DEVICES}/deployments/device/deployments"
    attributes = f"{DEVICES}/inventory/device/attributes"
    table = [
        ("GET", f"{deployments}/next", side.next_get),
        ("POST", f"{deployments}/next", side.next_post),
        ("PUT", f"{deployments}/{{id}}/status", side.put_status),
        ("PUT", f"{deployments}/{{id}}/log", side.put_log),
        ("PUT", attributes, inventory.put),
        ("PATCH", attributes, inventory.patch),
    ]
    return [
        Route(f"{DEVICES}/authentication/auth_requests", auth.ask, methods=["POST"]),
        Route("/storage/{id}", Artifacts(mender).storage, methods=["GET"]),
        *_routes(table, lambda handler: _for_device(mender, handler)),
    ]


def _management_routes(mender: Mender) -> list[Route]:
    auth, artifacts = DeviceAuth(mender), Artifacts(mender)
    deployments, inventory = Deployments(mender), Inventory(mender)
    made, files = f"{V1}/deployments/deployments", f"{V1}/deployments/artifacts"
    known, stock = f"{V2}/devauth/devices", f"{V1}/inventory"
    table = [
        ("GET", known, auth.list_all),
        ("POST", known, auth.preauthorize),
        ("GET", f"{known}/count", auth.count),
        ("GET", f"{known}/{{id}}", auth.get),
        ("DELETE", f"{known}/{{id}}", auth.decommission),
        ("GET", f"{known}/{{id}}/auth/{{aid}}/status", auth.get_status),
        ("PUT", f"{known}/{{id}}/auth/{{aid}}/status", auth.put_status),
        ("GET", files, artifacts.all),
        ("POST", files, artifacts.upload),
        ("GET", f"{files}/list", artifacts.list_all),
        ("GET", f"{files}/{{id}}", artifacts.get),
        ("PUT", f"{files}/{{id}}", artifacts.edit),
        ("DELETE", f"{files}/{{id}}", artifacts.delete),
        ("GET", f"{files}/{{id}}/download", artifacts.download),
        ("GET", f"{made}/releases", artifacts.releases),
        ("GET", made, deployments.list_all),
        ("POST", made, deployments.create),
        ("POST", f"{made}/group/{{name}}", deployments.create_for_group),
        ("GET", f"{made}/devices/{{id}}", deployments.of_device),
        ("DELETE", f"{made}/devices/{{id}}", deployments.abort_device),
        ("GET", f"{made}/{{id}}", deployments.get),
        ("PUT", f"{made}/{{id}}/status", deployments.put_status),
        ("GET", f"{made}/{{id}}/statistics", deployments.statistics),
        ("GET", f"{made}/{{id}}/devices/list", deployments.devices),
        ("GET", f"{made}/{{id}}/devices/{{device_id}}/log", deployments.log),
        ("GET", f"{stock}/devices/{{id}}/group", inventory.get_group),
        ("PUT", f"{stock}/devices/{{id}}/group", inventory.put_group),
        ("DELETE", f"{stock}/devices/{{id}}/group/{{name}}", inventory.drop_group),
        ("GET", f"{stock}/groups", inventory.groups),
        ("GET", f"{stock}/groups/{{name}}/devices", inventory.group_devices),
        ("PATCH", f"{stock}/groups/{{name}}/devices", inventory.join),
        ("DELETE", f"{stock}/groups/{{name}}/devices", inventory.leave),
        ("POST", f"{V2}/inventory/filters/search", inventory.search),
    ]
    login = Route(f"{V1}/useradm/auth/login", _login(mender), methods=["POST"])
    return [login, *_routes(table, lambda handler: _for_user(mender, handler))]


def _routes(
    table: list[tuple[str, str, Handler]], guarded: Callable[[Handler], Handler]
) -> list[Route]:
    """One route a path, so that a method it lacks is answered with 405."""
    methods: dict[str, dict[str, Handler]] = {}
    for method, path, handler in table:
        methods.setdefault(path, {})[method] = guarded(handler)
    return [
        Route(path, _by_method(handlers), methods=list(handlers))
        for path, handlers in methods.items()
    ]


def _by_method(handlers: dict[str, Handler]) -> Handler:
    async def answer(request: Request) -> Response:
        return await handlers["GET" if request.method == "HEAD" else request.method](request)

    return answer


def _bearer(request: Request) -> str:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token if kind.lower() == "bearer" else ""


def _for_device(mender: Mender, handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        token = _bearer(request)
        device = mender.device_of_token(token) if token else None
        if device is None:
            return empty(401)  # the gateway's own word: no body
        request.state.device = device
        return await handler(request)

    return guarded


def _for_user(mender: Mender, handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        end = mender.management_tokens.get(_bearer(request))
        if end is None or mender.now() >= end:
            return error(401, "unauthorized")
        return await handler(request)

    return guarded


def _login(mender: Mender) -> Handler:
    async def login(request: Request) -> Response:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            pair = base64.b64decode(given, validate=True).decode() if kind == "Basic" else ""
        except (binascii.Error, UnicodeDecodeError):
            pair = ""
        if pair != f"{mender.user}:{mender.password}":
            return error(401, "unauthorized")
        token = make_token(mender.user, "user", mender.now(), USER_LIFE_S)
        mender.management_tokens[token] = mender.now() + USER_LIFE_S
        return Response(token, media_type="application/jwt")

    return login


async def _refused(_request: Request, refused: Refused) -> Response:
    return error(refused.status, refused.text)


async def _not_found(_request: Request, _problem: Exception) -> Response:
    return error(404, "not found")
