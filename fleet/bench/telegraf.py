"""Telegraf, built from its published source where it is missing: the peer of our ingest.

Only what the comparison needs of it is built in: about a minute on two cores, once.
"""

from typing import Final

from fleet.from_source import GoProgram

RELEASE: Final = "1.37.2"
TAGS: Final = "custom,inputs.mqtt_consumer,outputs.influxdb,parsers.influx,serializers.influx"
SOURCE: Final = f"github.com/influxdata/telegraf/cmd/telegraf@v{RELEASE}"
PROGRAM: Final = GoProgram(
    "telegraf",
    RELEASE,
    "about a minute",
    (("go", "install", "-tags", TAGS, SOURCE),),
    made="telegraf",
)
CONFIGURATION: Final = """
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
