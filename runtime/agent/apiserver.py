"""Serves the local API on a Unix socket from a thread of its own."""

import logging
import socket
import threading
from pathlib import Path

import uvicorn
from fastapi import FastAPI

log = logging.getLogger(__name__)


class ApiServer:
    def __init__(self, app: FastAPI, address: Path) -> None:
        self._address = address
        self._socket = self._bind(address)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="api", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=3.0)
        self._socket.close()
        self._address.unlink(missing_ok=True)

    def _bind(self, address: Path) -> socket.socket:
        """The pid file already keeps a second agent out, so what lies here is a dead one's."""
        address.unlink(missing_ok=True)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            bound.bind(str(address))
        except OSError as error:
            bound.close()
            raise RuntimeError(
                f"{address}: cannot serve the local API there ({error}); a Unix socket's path has"
                " at most 107 characters; without it nobody can stop or re-arm this robot;"
                " give the agent a shorter --run-dir"
            ) from error
        address.chmod(0o660)
        bound.listen(64)
        return bound
