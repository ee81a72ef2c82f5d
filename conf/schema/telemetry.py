"""The spool, the uplink, what is sent how often, where it is stored, and the page."""

from enum import StrEnum

from conf.schema.base import Key, Model, Table, setting


class Store(StrEnum):
    EMBEDDED = "embedded"
    INFLUXDB = "influxdb"


class Spool(Model):
    max_mib: int = setting(
        "cap of the spool, its log and its reserve for a full disk together",
        default=500,
        ge=8,
        le=65_536,
        because="beyond it metrics are thinned by age, then old events are given up, alerts last",
    )
    commit_ms: int = setting(
        "longest time before a group commit; alerts are committed at once",
        default=100,
        ge=1,
        le=10_000,
        because="a power cut loses the metrics and events of this time",
    )


class Broker(Model):
    host: str = setting("MQTT broker", default="127.0.0.1", max_length=253)
    port: int = setting("its TLS port", default=8883, ge=1, le=65_535)
    via_relay: bool = setting("connect through the simulator's relay", default=False)
    relay_port: int = setting("port of that relay", default=8884, ge=1, le=65_535)
    keepalive_s: int = setting("MQTT keep-alive", default=10, ge=1, le=3600)


class Stream(Model):
    """A kind of record, with what it costs."""

    rate_hz: float = setting("records a second", ge=0.01, le=1000)
    bytes_each: int = setting("size of one on the wire", ge=1, le=10_000_000)
    durable: bool = setting("goes through the spool, is acknowledged and resent")


class Rows(StrEnum):
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class Postgres(Model):
    """PostgreSQL 13 or later, for rows: books, numbers, events, people, incidents."""

    host: str = setting(
        "its address or the folder of its socket; empty: one of the fleet's own, made by prepare",
        default="",
        max_length=253,
    )
    port: int = setting("its port", default=5432, ge=1, le=65_535)
    database: Key = setting("database, made beforehand", default="bedplate")
    user: Key = setting("user; its password lies in the fleet's folder", default="bedplate")


class Keep(Model):
    """How long the fleet's numbers stay how fine, and its events at all."""

    fine_hours: float = setting(
        "minutes of the fleet and five-minute spans of each robot, before hours are made of them",
        default=48.0,
        ge=1,
        le=24 * 366,
    )
    hourly_days: float = setting("hours, before days are made of them", default=35.0, ge=8, le=3660)
    daily_days: float = setting("days, before they are deleted", default=400.0, ge=8, le=36_600)
    events_days: float = setting("events, after their arrival", default=30.0, gt=0, le=3660)


class Embedded(Model):
    """The series store of a fleet that runs without a database server."""

    retention_days: float = setting("points older than this are deleted", default=30.0, gt=0)


class Influx(Model):
    """InfluxDB 1.8 or later: line protocol to /api/v2/write, InfluxQL from /query."""

    url: str = setting("its address", default="http://127.0.0.1:8086", pattern=r"^https?://")
    database: Key = setting("database, written as its bucket `/autogen`", default="bedplate")


class Traces(Model):
    """Which tasks tell their journey step by step, and where else it goes."""

    share_ratio: float = setting(
        "share of tasks whose journey is told in full",
        default=1.0,
        ge=0.0,
        le=1.0,
        because="a task is about twenty records, given up before events when the spool is full",
    )
    failed: bool = setting(
        "tasks outside that share are told too when an attempt fails", default=True
    )
    otlp_url: str = setting(
        "OTLP receiver that the fleet sends them on to, such as http://127.0.0.1:4318/v1/traces;"
        " empty: nowhere",
        default="",
        pattern=r"^(https?://\S+)?$",
        max_length=500,
    )


class Page(Model):
    port: int = setting("HTTP port of the page; the next free one if taken", default=8080, ge=1)
    enrolment_port: int = setting(
        "TLS port on which robots ask to be enrolled; the next free one if taken",
        default=8443,
        ge=1,
    )
    public_url: str = setting(
        "where a proxy on this machine serves the page to others, https://…; it is answered under"
        " that name too, and messages about alerts lead there",
        default="",
        pattern=r"^$|^https://[A-Za-z0-9.:-]+/?$",
    )
    stale_ms: int = setting(
        "silence after which what the page shows counts as stale", default=2000, ge=500
    )
    offline_ms: int = setting(
        "silence after which the robot counts as offline", default=15_000, ge=1000
    )


class Telemetry(Model):
    name: Key = setting("name of the settings, as their file")
    spool: Spool = setting("the durable queue on the robot", default=Spool())
    broker: Broker = setting("the way to the fleet", default=Broker())
    store: Store = setting("series store of the fleet side", default=Store.EMBEDDED)
    embedded: Embedded = setting("settings of that store", default=Embedded())
    influx: Influx = setting("settings of the other one", default=Influx())
    rows: Rows = setting("database of rows on the fleet side", default=Rows.SQLITE)
    postgresql: Postgres = setting("settings of it, where it is that", default=Postgres())
    keep: Keep = setting("how long the fleet keeps what, and how fine", default=Keep())
    traces: Traces = setting("the journey of each task, as spans", default=Traces())
    page: Page = setting("the robot's page", default=Page())
    frame_period_ms: int = setting("records of this time share a frame", default=1000, ge=50)
    resend_ms: int = setting("unacknowledged frames are sent again after", default=5000, ge=100)
    live_age_ms: int = setting(
        "records sent later than this are marked as replayed",
        default=10_000,
        ge=1000,
        because="a replayed record fires no alert and overwrites no live value",
    )
    streams: Table[Key, Stream] = setting("what is sent: metrics, events, spans, live, snapshot")
    health_period_s: float = setting("time between health reports", default=30.0, gt=0, le=3600)
