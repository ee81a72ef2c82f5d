"""Telegraf, built from its published source where it is missing: the peer of our ingest.

Only what the comparison needs of it is built in: about a minute on two cores, once.
"""

import os
import shutil
import subprocess
from pathlib import Path

MODULE = "github.com/influxdata/telegraf/cmd/telegraf@v1.37.2"
TAGS = "custom,inputs.mqtt_consumer,outputs.influxdb,parsers.influx,serializers.influx"
CONFIGURATION = """
[agent]
  interval = "1s"
  metric_batch_size = 5000
  metric_buffer_limit = 1000000
  flush_interval = "1s"
  flush_jitter = "0s"
  omit_hostname = true
  quiet = true
[[inputs.mqtt_consumer]]
  servers = ["ssl://127.0.0.1:{port}"]
  topics = ["{topics}"]
  topic_tag = ""
  qos = 1
  client_id = "telegraf"
  persistent_session = true
  max_undelivered_messages = 20000
  data_format = "influx"
  tls_ca = "{keys}/ca.crt"
  tls_cert = "{keys}/robot.crt"
  tls_key = "{keys}/robot.key"
[[outputs.influxdb]]
  urls = ["{influx}"]
  database = "{database}"
  skip_database_creation = true
  username = "{user}"
  password = "{password}"
"""


class TelegrafError(RuntimeError):
    """Why there is no peer."""


def ensure_binary() -> Path:
    """The one that TELEGRAF names, or one built here."""
    base = os.environ.get("XDG_CACHE_HOME")
    cache = Path(base) if base else Path.home() / ".cache"
    folder = cache / "bedplate" / "telegraf-1.37.2"
    named = os.environ.get("TELEGRAF")
    for candidate in (Path(named) if named else None, folder / "telegraf"):
        if candidate is not None and os.access(candidate, os.X_OK):
            return candidate
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise TelegrafError("telegraf is not there and cannot be built: Go is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GOBIN": str(folder), "CGO_ENABLED": "0", "GOFLAGS": "-p=2"}
    built = subprocess.run(
        [go, "install", "-tags", TAGS, MODULE],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        raise TelegrafError(f"telegraf could not be built: {built.stderr[-500:]}")
    return folder / "telegraf"
