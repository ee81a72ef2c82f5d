"""What the fleet's processes are told: one file, written by `bedplate fleet prepare`."""

from pathlib import Path
from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.engine import URL

from conf.schema.alerts import Alerts
from conf.schema.telemetry import Keep, Store

Port = Annotated[int, Field(ge=1, le=65_535)]


class SettingsError(RuntimeError):
    """The file is missing or wrong; the text says which command writes it."""


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RobotEntry(Part):
    """A robot on this machine, whose own sockets the page may use."""

    robot_id: str
    site: str
    title: str
    simulated: bool
    agent_socket: Path
    faults_socket: Path


class InfluxSettings(Part):
    url: str
    database: str
    credentials: Path  # `user:password`, readable by its owner only


class PostgresSettings(Part):
    host: str  # an address, or the folder of a Unix socket
    port: Port = 5432
    database: str
    user: str
    password: Path  # readable by its owner only

    @property
    def url(self) -> str:
        """With the password: not for logs."""
        return URL.create(
            "postgresql+psycopg",
            username=self.user,
            password=self.password.read_text().strip(),
            database=self.database,
            query={"host": self.host, "port": str(self.port)},
        ).render_as_string(hide_password=False)


class Targets(Part):
    """What the fleet is measured against."""

    success_ratio: float = 0.9
    uptime_ratio: float = 0.999
    latency_p95_ms: float = 250.0


class FleetSettings(Part):
    root: Path
    broker_host: str
    broker_port: Port
    store: Store
    retention_days: float
    influx: InfluxSettings
    postgres: PostgresSettings | None = None  # None: rows in SQLite
    keep: Keep = Keep()
    page_host: str
    page_port: Port
    public_url: str = ""  # where a proxy with a certificate serves the page, if one does
    enrolment_port: Port = 8443
    stale_ms: int
    offline_ms: int
    alerts: Alerts
    targets: Targets = Targets()
    otlp_url: str = ""  # where journeys of tasks go on to, if anywhere
    robots: tuple[RobotEntry, ...]

    @property
    def page_url(self) -> str:
        """Where people find the page; ends with a slash."""
        return f"{(self.public_url or f'http://{self.page_host}:{self.page_port}').rstrip('/')}/"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def mender_credentials(self) -> Path:
        """Where there is such a file this fleet has a Mender server."""
        return self.root / "mender.json"

    @property
    def series(self) -> Path:
        return self.root / "series.sqlite"

    @property
    def rows_url(self) -> str:
        """For `fleet.store.rows.open_rows`; it may hold a password: not for logs."""
        if self.postgres is not None:
            return self.postgres.url
        return f"sqlite:///{self.root / 'books.sqlite'}"

    @property
    def books_url(self) -> str:
        return self.rows_url

    def robot(self, robot_id: str) -> RobotEntry | None:
        return next((entry for entry in self.robots if entry.robot_id == robot_id), None)


def settings_path(root: Path) -> Path:
    return root / "fleet.json"


def write_settings(settings: FleetSettings) -> Path:
    path = settings_path(settings.root)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_bytes(orjson.dumps(settings.model_dump(mode="json"), option=orjson.OPT_INDENT_2))
    partial.replace(path)
    return path


def read_settings(root: Path) -> FleetSettings:
    path = settings_path(root)
    try:
        return FleetSettings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read ({error}); the fleet side does not know its broker and store;"
            " write it with: bedplate fleet prepare"
        ) from error
    except ValidationError as error:
        raise SettingsError(
            f"{path}: not the settings this version writes ({error.error_count()} mistakes, first:"
            f" {error.errors()[0]['loc']} {error.errors()[0]['msg']});"
            " write it again with: bedplate fleet prepare"
        ) from error
