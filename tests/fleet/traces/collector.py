"""OpenTelemetry's own Collector, built by its own builder where it is missing, on the loopback.

It takes OTLP over HTTP and passes on what it understood as OTLP's JSON: whoever reads that reads
the Collector's words, made from its own model of a span, not ours.
"""

import hashlib
import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx

from fleet.from_source import GoProgram
from tests.fleet.ports import own_port

RELEASE = "v0.150.0"
BUILDER = f"go.opentelemetry.io/collector/cmd/builder@{RELEASE}"
START_S = 30.0
MANIFEST = f"""
dist: {{name: otelcol, module: bedplate.test/otelcol, output_path: ./made}}
conf_resolver: {{default_uri_scheme: file}}
receivers:
  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver {RELEASE}
exporters:
  - gomod: go.opentelemetry.io/collector/exporter/otlphttpexporter {RELEASE}
providers:
  - gomod: go.opentelemetry.io/collector/confmap/provider/fileprovider v1.56.0
"""
CONFIGURATION = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
exporters:
  otlphttp:
    endpoint: "{reader}"
    encoding: json
    compression: none
    sending_queue: {{enabled: false}}
    retry_on_failure: {{enabled: false}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [otlphttp]}}}}
"""


class CollectorError(RuntimeError):
    """It was started and does not answer."""


def program() -> GoProgram:
    """The builder, then the collector that the manifest asks it for: minutes on two cores, once."""
    steps = (
        ("go", "install", BUILDER),
        ("sh", "-c", 'printf %s "$0" > manifest.yaml', MANIFEST),
        ("./builder", "--config", "manifest.yaml"),
    )
    release = hashlib.sha256(MANIFEST.encode()).hexdigest()[:12]
    return GoProgram("otelcol", release, "some minutes", steps, made="made/otelcol")


class Reader:
    """What the Collector passes on, as it came."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        reader = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.headers["content-type"] == "application/json"
                reader.got.append(json.loads(body))
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Collector:
    def __init__(self, folder: Path) -> None:
        binary = program().ensure()
        self.reader = Reader()
        port = own_port(14_318)
        self.url = f"http://127.0.0.1:{port}/v1/traces"
        config = folder / "otelcol.yaml"
        config.write_text(CONFIGURATION.format(port=port, reader=self.reader.url))
        self._log = folder / "otelcol.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(binary), "--config", f"file:{config}"], stdout=log, stderr=log
            )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + START_S
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                httpx.post(self.url, json={}, timeout=1.0)
            except httpx.HTTPError:
                time.sleep(0.05)
            else:
                return self
        self.__exit__()
        raise CollectorError(f"the collector does not answer: {self._log.read_text()[-800:]}")

    def __exit__(self, *_error: object) -> None:
        self._process.terminate()
        self._process.wait(10.0)
        self.reader.close()
