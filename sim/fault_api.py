"""The faults of a run over HTTP on a Unix socket: `GET /faults`, `POST /faults`."""

from __future__ import annotations

import json
import socketserver
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Protocol

BODY_MAX_BYTES = 4096
TIMEOUT_S = 5.0


class FaultService(Protocol):
    """What the server asks of the fault process; called from its threads."""

    def listing(self) -> list[dict[str, Any]]: ...

    def change(self, component: str, kind: str) -> dict[str, Any]:
        """Inject or clear (`ok`); raises ValueError with the reason."""
        ...


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    service: FaultService


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]
    timeout = TIMEOUT_S

    def do_GET(self) -> None:
        if self.path != "/faults":
            self._answer(HTTPStatus.NOT_FOUND, {"error": f"no {self.path}; there is /faults"})
            return
        self._answer(HTTPStatus.OK, self.server.service.listing())

    def do_POST(self) -> None:
        if self.path != "/faults":
            self._answer(HTTPStatus.NOT_FOUND, {"error": f"no {self.path}; there is /faults"})
            return
        try:
            component, kind = self._wanted()
            answer = self.server.service.change(component, kind)
        except ValueError as error:
            self._answer(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": str(error)})
            return
        self._answer(HTTPStatus.OK, answer)

    def _wanted(self) -> tuple[str, str]:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= BODY_MAX_BYTES:
            raise ValueError(f"body: got {length} bytes, must be 1 to {BODY_MAX_BYTES}")
        body = json.loads(self.rfile.read(length))
        if not isinstance(body, dict) or set(body) != {"component", "kind"}:
            raise ValueError('body: must be {"component": "...", "kind": "..."}')
        return str(body["component"]), str(body["kind"])

    def _answer(self, status: HTTPStatus, value: object) -> None:
        raw = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def address_string(self) -> str:
        return "local"

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are events of the run, not lines of a log."""


class FaultServer:
    def __init__(self, socket_path: Path, service: FaultService) -> None:
        socket_path.unlink(missing_ok=True)  # the run's lock makes this process the only one
        self._path = socket_path
        self._server = _Server(str(socket_path), _Handler)
        socket_path.chmod(0o600)
        self._server.service = service
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=2.0)
        self._path.unlink(missing_ok=True)
