"""Series in a real InfluxDB: line protocol to /api/v2/write, InfluxQL from /query.

That pair works on 1.8, 1.12, 2.x and 3.x alike. Writes are synchronous and without the client's own
retries: what the database has not confirmed is still in the robots' spools.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from fleet.settings import InfluxSettings
from fleet.store.series import Query, StoreUnavailableError
from runtime.telemetry.frame import TAG_KEYS
from runtime.telemetry.line import INTEGER_FIELDS, Point

REFUSED_FOR_GOOD = {400, 413, 422}
TIMEOUT_S = 10.0


class InfluxStore:
    def __init__(self, settings: InfluxSettings) -> None:
        self._settings = settings
        credentials = settings.credentials.read_text().strip()
        self._bucket = f"{settings.database}/autogen"
        self._client = InfluxDBClient(
            url=settings.url, token=credentials, org="-", timeout=round(TIMEOUT_S * 1000)
        )
        self._writer = self._client.write_api(write_options=SYNCHRONOUS)
        self._reader = httpx.Client(
            base_url=settings.url,
            headers={"Authorization": f"Token {credentials}"},
            timeout=TIMEOUT_S,
        )

    def write(self, lines: Sequence[bytes]) -> Mapping[int, str]:
        refused: dict[int, str] = {}
        self._write_span(lines, 0, len(lines), refused)
        return refused

    def points(self, query: Query) -> list[Point]:
        try:
            reply = self._reader.get(
                "/query",
                params={"db": self._settings.database, "epoch": "ns", "q": influxql(query)},
            )
            reply.raise_for_status()
            result = reply.json()["results"][0]
        except (httpx.HTTPError, ValueError, KeyError, IndexError) as error:
            raise StoreUnavailableError(f"InfluxDB cannot be read: {error}") from error
        if "error" in result:
            raise StoreUnavailableError(f"InfluxDB cannot be read: {result['error']}")
        return [
            _point(query.measurement, series["columns"], row)
            for series in result.get("series", [])
            for row in series["values"]
        ]

    def close(self) -> None:
        self._writer.close()
        self._client.close()
        self._reader.close()

    def _write_span(
        self, lines: Sequence[bytes], start: int, end: int, refused: dict[int, str]
    ) -> None:
        """The database names a batch, not a line: halve until the refused ones stand alone."""
        if start >= end:
            return
        reason = self._try(b"\n".join(lines[start:end]))
        if reason is None:
            return
        if end - start == 1:
            refused[start] = reason
            return
        middle = (start + end) // 2
        self._write_span(lines, start, middle, refused)
        self._write_span(lines, middle, end, refused)

    def _try(self, body: bytes) -> str | None:
        """None when all of it is stored, else why some of it never will be."""
        try:
            self._writer.write(self._bucket, "-", body)
        except ApiException as error:
            if error.status in REFUSED_FOR_GOOD:
                return _reason(error)
            raise StoreUnavailableError(
                f"InfluxDB answered {error.status} ({_reason(error)}); robots keep their records"
            ) from error
        except (HTTPError, OSError) as error:
            raise StoreUnavailableError(
                f"InfluxDB at {self._settings.url} cannot be reached ({error});"
                " robots keep their records"
            ) from error
        return None


def influxql(query: Query) -> str:
    conditions = []
    if query.robot_id is not None:
        conditions.append(f"robot = '{_quoted(query.robot_id, chr(39))}'")
    if query.since_ns is not None:
        conditions.append(f"time >= {int(query.since_ns)}")
    if query.until_ns is not None:
        conditions.append(f"time <= {int(query.until_ns)}")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    order = "DESC" if query.newest_first else "ASC"
    measurement = _quoted(query.measurement, '"')
    return f'SELECT * FROM "{measurement}"{where} ORDER BY time {order} LIMIT {int(query.limit)}'


def _quoted(text: str, quote: str) -> str:
    return text.replace("\\", "\\\\").replace(quote, f"\\{quote}").replace("\n", " ")


def _reason(error: ApiException) -> str:
    body: Any = error.body
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or error.reason)
    return " ".join(text.split())[:300]


def _point(measurement: str, columns: Sequence[str], row: Sequence[Any]) -> Point:
    """JSON writes a whole float as an integer; only two fields are integers in truth."""
    values = {key: value for key, value in zip(columns, row, strict=True) if value is not None}
    time_ns = int(values.pop("time"))
    tags = {key: str(values.pop(key)) for key in TAG_KEYS if key in values}
    fields = {
        key: float(value) if type(value) is int and key not in INTEGER_FIELDS else value
        for key, value in values.items()
    }
    return Point(measurement, tags, fields, time_ns)
