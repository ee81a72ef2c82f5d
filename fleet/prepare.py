"""Everything the fleet side needs before its processes start: certificates, broker files, settings.

Done again at every start; what is there and still good stays. The result names what to start.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from conf.schema import Config
from conf.schema.telemetry import Rows, Store
from fleet.alerts.alertmanager import command as alertmanager_command
from fleet.broker import broker_command, write_broker
from fleet.influxd import ensure_binary, ensure_credentials
from fleet.pki import Authority, equip_robot
from fleet.postgresd import cluster_of, ensure_cluster
from fleet.settings import (
    FleetSettings,
    InfluxSettings,
    PostgresSettings,
    RobotEntry,
    write_settings,
)
from runtime.topics import Party

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class LocalRobot:
    """A robot on this machine: where its uplink looks for keys, where its sockets are."""

    pki: Path
    agent_socket: Path
    faults_socket: Path


@dataclass(frozen=True)
class Prepared:
    settings: FleetSettings
    broker: list[str]
    influxd: list[str] | None
    postgresd: list[str] | None
    ingestd: list[str]
    fleetd: list[str]
    page_url: str  # on this machine
    alertmanager: list[str] | None = None


def prepare(config: Config, root: Path, robot: LocalRobot | None) -> Prepared:
    """Without a robot of this machine's own, the fleet waits for those that are elsewhere."""
    root = root.absolute()
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings = make_settings(config, root, robot)
    authority = Authority(settings.pki)
    authority.ensure()
    for party in (Party.INGEST, Party.FLEET):
        authority.issue_party(party)
    if robot is not None:
        equip_robot(authority, config.facility.site, config.robot_id, robot.pki)
    files = write_broker(root / "broker", authority, settings.broker_host, settings.broker_port)
    influxd = None
    if settings.store is Store.INFLUXDB:
        ensure_binary()
        ensure_credentials(settings.influx.credentials)
        influxd = _module("fleet.influxd", root)
    own_rows = settings.postgres is not None and not config.telemetry.postgresql.host
    if own_rows:
        ensure_cluster(cluster_of(root))
    alertmanager = None
    if settings.alerts.notify.alertmanager:
        folder = root / "alertmanager"
        alertmanager = alertmanager_command(settings.alerts.notify, folder, settings.page_url)
    write_settings(settings)
    return Prepared(
        settings=settings,
        broker=broker_command(files),
        influxd=influxd,
        postgresd=_module("fleet.postgresd", root) if own_rows else None,
        ingestd=_module("fleet.ingestd", root),
        fleetd=_module("fleet.fleetd", root),
        page_url=f"http://{settings.page_host}:{settings.page_port}/",
        alertmanager=alertmanager,
    )


def make_settings(config: Config, root: Path, robot: LocalRobot | None) -> FleetSettings:
    telemetry = config.telemetry
    return FleetSettings(
        root=root,
        broker_host=LOOPBACK,
        broker_port=telemetry.broker.port,
        store=telemetry.store,
        retention_days=telemetry.embedded.retention_days,
        influx=InfluxSettings(
            url=telemetry.influx.url,
            database=telemetry.influx.database,
            credentials=root / "influxdb" / "credentials",
        ),
        postgres=_postgres(config, root),
        keep=telemetry.keep,
        otlp_url=telemetry.traces.otlp_url,
        page_host=LOOPBACK,
        page_port=telemetry.page.port,
        public_url=telemetry.page.public_url,
        enrolment_port=telemetry.page.enrolment_port,
        stale_ms=telemetry.page.stale_ms,
        offline_ms=telemetry.page.offline_ms,
        alerts=config.alerts,
        robots=() if robot is None else (_entry(config, robot),),
    )


def _entry(config: Config, robot: LocalRobot) -> RobotEntry:
    return RobotEntry(
        robot_id=config.robot_id,
        site=config.facility.site,
        title=config.facility.title,
        simulated=config.hardware.actuation.kind == "sim",
        agent_socket=robot.agent_socket.absolute(),
        faults_socket=robot.faults_socket.absolute(),
    )


def _postgres(config: Config, root: Path) -> PostgresSettings | None:
    wanted = config.telemetry.postgresql
    match config.telemetry.rows:
        case Rows.SQLITE:
            return None
        case Rows.POSTGRESQL if not wanted.host:
            return cluster_of(root).settings(wanted.database)
        case Rows.POSTGRESQL:
            return PostgresSettings(
                host=wanted.host,
                port=wanted.port,
                database=wanted.database,
                user=wanted.user,
                password=root / "postgresql.password",
            )


def _module(name: str, root: Path) -> list[str]:
    return [sys.executable, "-m", name, "--fleet-dir", str(root)]
