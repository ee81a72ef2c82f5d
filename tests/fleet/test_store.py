"""What a store of series promises, asked of the embedded one and of a real InfluxDB alike."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.influxd import ensure_credentials, ensure_database, find_binary, start
from fleet.settings import InfluxSettings
from fleet.store.embedded import EmbeddedStore
from fleet.store.influx import InfluxStore, influxql
from fleet.store.series import Query, SeriesStore, StoreUnavailableError
from records import Priority, Severity
from runtime.telemetry.client import Record, RecordKind, Value
from runtime.telemetry.line import encode_line, encode_tags, plain_names
from runtime.telemetry.spool import Spool
from runtime.telemetry.spool_file import SpoolLimits
from runtime.telemetry.stamp import Instant
from tests.fleet.ports import own_port

BASE_NS = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxSettings]:
    if find_binary() is None:
        pytest.skip(
            "no influxd: set INFLUXD to an influxd 1.8 binary, or build one with"
            " python -m fleet.influxd --build"
        )
    folder = tmp_path_factory.mktemp("influxd")
    url = f"http://127.0.0.1:{own_port(28_086)}"
    settings = InfluxSettings(url=url, database="bedplate", credentials=folder / "credentials")
    process = start(folder, url)
    ensure_database(url, ensure_credentials(settings.credentials), settings.database)
    yield settings
    process.terminate()
    process.wait()


@pytest.fixture(params=["embedded", "influxdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SeriesStore]:
    if request.param == "embedded":
        store: SeriesStore = EmbeddedStore(tmp_path / "series.sqlite")
    else:
        store = InfluxStore(request.getfixturevalue("influxd"))
    yield store
    store.close()


@pytest.fixture
def robot(request: pytest.FixtureRequest) -> str:
    """One of its own for each test: the real server outlives them."""
    return "r-" + "".join(c for c in request.node.name.lower() if c.isalnum())[-50:]


@pytest.fixture
def measurement(robot: str) -> str:
    return f"m_{robot.replace('-', '_')}"


def tagset(robot: str) -> bytes:
    return encode_tags({"robot": robot, "site": "osaka", "hardware": "x", "version": "dev"})


def line(robot: str, measurement: str, seq: int, **fields) -> bytes:
    time_ns = BASE_NS + seq * 1_000_000
    return encode_line(measurement, tagset(robot), fields, seq=seq, epoch=5, time_ns=time_ns)


def sequences(store: SeriesStore, robot: str, measurement: str, **more) -> list[int]:
    query = Query(measurement, robot, newest_first=False, **more)
    return [int(point.fields["seq"]) for point in store.points(query)]


def test_points_come_back_as_they_were_written(
    store: SeriesStore, robot: str, measurement: str
) -> None:
    fields = {"a": 1.5, "on": True, "text": 'quoted "x", a=b \\ ü', "big": 2**60}
    assert store.write([line(robot, measurement, 7, **fields)]) == {}
    (point,) = store.points(Query(measurement, robot))
    assert point.time_ns == BASE_NS + 7_000_000
    assert point.tags == {"robot": robot, "site": "osaka", "hardware": "x", "version": "dev"}
    assert point.fields["seq"] == 7
    assert point.fields["epoch"] == 5
    assert point.fields["a"] == 1.5
    assert point.fields["on"] is True
    assert point.fields["text"] == 'quoted "x", a=b \\ ü'
    assert point.fields["big"] == float(2**60)


def test_points_written_twice_and_in_any_order_are_stored_once(
    store: SeriesStore, robot: str, measurement: str
) -> None:
    lines = [line(robot, measurement, seq, a=seq / 7) for seq in range(1, 101)]
    store.write(lines[50:])
    store.write(lines[::-1])
    store.write(lines[20:60])
    assert sequences(store, robot, measurement) == list(range(1, 101))


def test_refused_points_are_named_and_the_others_stored(
    store: SeriesStore, robot: str, measurement: str
) -> None:
    store.write([line(robot, measurement, 1, a=1.0)])
    lines = [line(robot, measurement, seq, a=1.0) for seq in range(2, 40)]
    lines[5] = line(robot, measurement, 7, a="a text where a number was")
    lines[20] = b"this is no line protocol"
    lines[30] = line(robot, measurement, 32, a=True)
    refused = store.write(lines)
    assert set(refused) == {5, 20, 30}
    assert all(reason for reason in refused.values())
    expected = [1, *(seq for seq in range(2, 40) if seq not in (7, 22, 32))]
    assert sequences(store, robot, measurement) == expected
    assert set(store.write(lines)) == {5, 20, 30}


def test_query_keeps_to_robot_time_limit_and_order(
    store: SeriesStore, robot: str, measurement: str
) -> None:
    other = f"{robot}x"
    store.write([line(robot, measurement, seq, a=1.0) for seq in range(1, 21)])
    store.write([line(other, measurement, seq + 100, a=1.0) for seq in range(1, 21)])
    since, until = BASE_NS + 5_000_000, BASE_NS + 8_000_000
    assert sequences(store, robot, measurement, since_ns=since, until_ns=until) == [5, 6, 7, 8]
    assert sequences(store, robot, measurement, limit=3) == [1, 2, 3]
    newest = store.points(Query(measurement, robot, limit=3))
    assert [int(point.fields["seq"]) for point in newest] == [20, 19, 18]
    assert len(store.points(Query(measurement))) == 40


def test_query_of_what_is_not_there_is_empty(
    store: SeriesStore, robot: str, measurement: str
) -> None:
    assert store.points(Query(measurement, robot)) == []
    assert store.points(Query("x\" OR 1=1 '; DROP", "r' OR '1'='1")) == []


@given(text=st.text(max_size=40))
def test_influxql_of_any_name_stays_one_statement(text: str) -> None:
    query = influxql(Query(text, text))
    assert "\n" not in query
    assert query.endswith(" LIMIT 1000")


def test_embedded_store_is_still_there_after_a_restart(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "series.sqlite")
    store.write([line("r-1", "m", seq, a=1.0) for seq in range(1, 11)])
    store.close()
    store = EmbeddedStore(tmp_path / "series.sqlite")
    assert sequences(store, "r-1", "m") == list(range(1, 11))
    assert set(store.write([line("r-1", "m", 11, a="x")])) == {0}
    store.close()


def test_embedded_store_forgets_after_its_retention(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "series.sqlite")
    store.write([line("r-1", "m", seq * 1000, a=1.0) for seq in range(1, 11)])
    assert store.expire(BASE_NS + 5_500_000_000 + 86_400_000_000_000, 1.0) == 5
    assert sequences(store, "r-1", "m") == [6000, 7000, 8000, 9000, 10_000]
    store.close()


def test_embedded_store_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "series.sqlite").mkdir()
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        EmbeddedStore(tmp_path / "series.sqlite")


def influx_at(url: str, tmp_path: Path, credentials: str = "bedplate:x") -> InfluxStore:
    path = tmp_path / "credentials"
    path.write_text(credentials)
    return InfluxStore(InfluxSettings(url=url, database="bedplate", credentials=path))


def test_influxdb_that_is_away_is_unavailable_not_refusing(tmp_path: Path) -> None:
    store = influx_at(f"http://127.0.0.1:{own_port(29_000)}", tmp_path)
    with pytest.raises(StoreUnavailableError, match="robots keep their records"):
        store.write([line("r-1", "m", 1, a=1.0)])
    with pytest.raises(StoreUnavailableError):
        store.points(Query("m"))
    store.close()


def test_influxdb_that_does_not_know_us_is_unavailable(
    influxd: InfluxSettings, tmp_path: Path
) -> None:
    store = influx_at(influxd.url, tmp_path, "bedplate:wrong")
    with pytest.raises(StoreUnavailableError, match="401"):
        store.write([line("r-1", "m", 1, a=1.0)])
    store.close()


def test_influxdb_without_our_database_is_unavailable(
    influxd: InfluxSettings, tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text(influxd.credentials.read_text())
    other = InfluxSettings(url=influxd.url, database="nowhere", credentials=credentials)
    store = InfluxStore(other)
    with pytest.raises(StoreUnavailableError, match="404"):
        store.write([line("r-1", "m", 1, a=1.0)])
    store.close()


def test_influxd_without_go_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    import fleet.influxd

    monkeypatch.setenv("XDG_CACHE_HOME", "/nonexistent")
    monkeypatch.delenv("INFLUXD", raising=False)
    monkeypatch.setattr("fleet.from_source.shutil.which", lambda *args, **more: None)
    with pytest.raises(fleet.influxd.InfluxdError, match=r"Go .* is not installed"):
        fleet.influxd.ensure_binary()


def test_events_with_the_same_field_in_other_types_are_all_stored(
    store: SeriesStore, robot: str, tmp_path: Path
) -> None:
    """Seen on a running robot: `from` is a level in one event and a word in another."""
    tags = tagset(robot)
    spool = Spool(tmp_path / "spool", limits=SpoolLimits(2**23), tagset=tags, new_epoch=5)
    values: list[Value] = [2, 0.5, "unknown", True, "", 7]
    records = [
        Record(RecordKind.EVENT, "visiond", "perception.x", Severity.INFO, 1, {"from": value})
        for value in values
    ]
    spool.commit(records, Instant(1, BASE_NS))
    lines = [line for _, line in spool.take(Priority.EVENT, 1, 99, rows=99, size=2**20)]
    spool.close()
    assert store.write(lines) == {}
    points = store.points(Query("event", robot, newest_first=False))
    assert [plain_names(point.fields)["from"] for point in points] == values
