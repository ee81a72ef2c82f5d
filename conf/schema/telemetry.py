"""The spool, the uplink, what is sent how often, where it is stored."""

from enum import StrEnum

from conf.schema.base import Key, Model, Table, setting


class Store(StrEnum):
    EMBEDDED = "embedded"
    INFLUXDB = "influxdb"


class Spool(Model):
    max_mib: int = setting("cap of the spool", default=500, ge=8, le=65_536)
    commit_ms: int = setting("longest time before a group commit", default=100, ge=1, le=10_000)


class Broker(Model):
    host: str = setting("MQTT broker", default="127.0.0.1", max_length=253)
    port: int = setting("its TLS port", default=8883, ge=1, le=65_535)
    via_relay: bool = setting("connect through the simulator's relay", default=False)
    relay_port: int = setting("port of that relay", default=8884, ge=1, le=65_535)
    keepalive_s: int = setting("MQTT keep-alive", default=10, ge=1, le=3600)


class Stream(Model):
    """A kind of record, with what it costs."""

    rate_hz: float = setting("records a second", gt=0, le=1000)
    bytes_each: int = setting("size of one on the wire", ge=1, le=10_000_000)
    durable: bool = setting("goes through the spool, is acknowledged and resent")


class Telemetry(Model):
    name: Key = setting("name of the settings, as their file")
    spool: Spool = setting("the durable queue on the robot", default=Spool())
    broker: Broker = setting("the way to the fleet", default=Broker())
    store: Store = setting("series store of the fleet side", default=Store.EMBEDDED)
    frame_period_ms: int = setting("records of this time share a frame", default=1000, ge=50)
    resend_ms: int = setting("unacknowledged frames are sent again after", default=5000, ge=100)
    streams: Table[Key, Stream] = setting("what is sent")
    health_period_s: float = setting("time between health reports", default=30.0, gt=0, le=3600)
