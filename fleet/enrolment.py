"""Who may become a robot of this fleet: invitations, requests, approvals. One SQLite file.

A robot is invited under a name and gets a token when it is flashed. It asks once, with a key it has
made itself; the token is good for that one key from then on, so that an ask that was cut off can be
repeated and a token that leaked is worth nothing. An operator approves, and only then a certificate
is issued. The token is kept as a hash.
"""

import hashlib
import hmac
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, assert_never

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fleet.pki import Authority
from runtime.topics import branch

FILE = "enrolment.sqlite"
TOKEN_BYTES = 32
DAY_S = 86_400
CSR_MAX_BYTES = 4096
TOKEN_MAX = 256
ROBOT_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
ROBOT_ID_MAX = 48

SCHEMA = """
CREATE TABLE IF NOT EXISTS enrolment (
    robot_id TEXT PRIMARY KEY,
    site TEXT NOT NULL,
    token_sha256 TEXT NOT NULL,
    expires_s INTEGER NOT NULL,
    state TEXT NOT NULL,
    key_sha256 TEXT NOT NULL DEFAULT '',
    csr_pem TEXT NOT NULL DEFAULT '',
    certificate_pem TEXT NOT NULL DEFAULT '',
    changed_s INTEGER NOT NULL,
    update_key_pem TEXT NOT NULL DEFAULT ''
)
"""
# A book of an earlier version has no such column.
LATER_COLUMNS = {"update_key_pem": "TEXT NOT NULL DEFAULT ''"}


class State(StrEnum):
    INVITED = "invited"  # the token was given out and never used
    ASKED = "asked"  # a robot has asked with its key; an operator decides
    APPROVED = "approved"  # its certificate is issued


@dataclass(frozen=True)
class Enrolment:
    robot_id: str
    site: str
    state: State
    expires_s: int
    key_sha256: str
    changed_s: int


@dataclass(frozen=True)
class Answer:
    """What a robot that asked is told."""

    state: State
    certificate_pem: str = ""


class Refusal(StrEnum):
    """Why a robot that asks gets nothing. Whoever guesses learns from none which part was right."""

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    USED = "used"
    REQUEST = "request"

    @property
    def text(self) -> str:
        match self:
            case Refusal.UNKNOWN:
                return (
                    "this name and token do not belong together: flash the robot with the"
                    " invitation made for it"
                )
            case Refusal.EXPIRED:
                return "the token has expired: invite the robot again and give it the new file"
            case Refusal.USED:
                return (
                    "the token was used with another key: somebody else may have had it;"
                    " invite the robot again"
                )
            case Refusal.REQUEST:
                return "the certificate request cannot be used: it must be EC P-256, signed, named"
        assert_never(self)


class EnrolmentError(RuntimeError):
    """An operator's command that makes no sense just now; the text says why and what to try."""


class EnrolmentRefusedError(RuntimeError):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


class Enrolments:
    """Every method is one transaction: two asks at once are one after the other."""

    def __init__(self, root: Path, authority: Authority) -> None:
        self._path = root / FILE
        self._authority = authority
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._transaction() as book:
            book.execute(SCHEMA)
            there = {str(row["name"]) for row in book.execute("PRAGMA table_info(enrolment)")}
            for name in LATER_COLUMNS.keys() - there:
                book.execute(f"ALTER TABLE enrolment ADD COLUMN {name} {LATER_COLUMNS[name]}")
        self._path.chmod(0o600)

    def invite(self, robot_id: str, site: str, now_s: int, days: float) -> str:
        """The token, told this once. A robot that was invited before gets a new one."""
        branch(site, robot_id)
        if len(robot_id) > ROBOT_ID_MAX or ROBOT_ID.fullmatch(robot_id) is None:
            raise EnrolmentError(
                f"{robot_id!r} is no robot's name: lower-case letters, digits, hyphens between;"
                " it becomes a topic and a certificate; try  osaka-02"
            )
        token = secrets.token_urlsafe(TOKEN_BYTES)
        with self._transaction() as book:
            row = _row(book, robot_id)
            if row is not None and row["state"] == State.APPROVED:
                raise EnrolmentError(
                    f"{robot_id} is enrolled already; a second robot of its name would push it off"
                    " the broker; take another name, or first:"
                    f" bedplate fleet enrol forget {robot_id}"
                )
            book.execute(
                "INSERT OR REPLACE INTO enrolment"
                " (robot_id, site, token_sha256, expires_s, state, changed_s)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (robot_id, site, _digest(token), now_s + int(days * DAY_S), State.INVITED, now_s),
            )
        return token

    def ask(
        self, robot_id: str, token: str, csr_pem: str, now_s: int, update_key_pem: str = ""
    ) -> Answer:
        """A robot's own question. The token is compared before anything else is looked at."""
        with self._transaction() as book:
            row = _row(book, robot_id)
            stored = "" if row is None else str(row["token_sha256"])
            # An unknown name costs the same comparison as a known one.
            same = hmac.compare_digest(_digest(token[:TOKEN_MAX]), stored or _digest(""))
            if row is None or not same:
                raise EnrolmentRefusedError(Refusal.UNKNOWN)
            state = State(row["state"])
            if now_s >= int(row["expires_s"]) and state is State.INVITED:
                raise EnrolmentRefusedError(Refusal.EXPIRED)
            key = key_of_request(csr_pem, str(row["site"]), robot_id)
            update_key = normal_key(update_key_pem)
            match state:
                case State.INVITED:
                    book.execute(
                        "UPDATE enrolment SET state=?, key_sha256=?, csr_pem=?, changed_s=?,"
                        " update_key_pem=? WHERE robot_id=?",
                        (State.ASKED, fingerprint(key), csr_pem, now_s, update_key, robot_id),
                    )
                    return Answer(State.ASKED)
                case State.ASKED | State.APPROVED:
                    same = (fingerprint(key), update_key) == (
                        str(row["key_sha256"]),
                        # Told at first or never: a request can be overheard, and told again.
                        str(row["update_key_pem"]),
                    )
                    if not same:
                        raise EnrolmentRefusedError(Refusal.USED)
                    return Answer(state, str(row["certificate_pem"]))
        assert_never(state)

    def approve(self, robot_id: str, now_s: int) -> Enrolment:
        """An operator's word: the certificate is issued. Twice is once."""
        with self._transaction() as book:
            row = _row(book, robot_id)
            if row is None:
                raise EnrolmentError(
                    f"{robot_id} was never invited, so nothing is known of it;"
                    f" try  bedplate fleet enrol invite {robot_id} --site SITE --out FILE"
                )
            match State(row["state"]):
                case State.INVITED:
                    raise EnrolmentError(
                        f"{robot_id} has not asked yet: there is no key to certify;"
                        " start the robot, and look again with  bedplate fleet enrol list"
                    )
                case State.ASKED:
                    key = key_of_request(str(row["csr_pem"]), str(row["site"]), robot_id)
                    pem = self._authority.certify_robot(str(row["site"]), robot_id, key)
                    book.execute(
                        "UPDATE enrolment SET state=?, certificate_pem=?, changed_s=?"
                        " WHERE robot_id=?",
                        (State.APPROVED, pem.decode(), now_s, robot_id),
                    )
                case State.APPROVED:
                    return _enrolment(row)
            changed = _row(book, robot_id)
            assert changed is not None
            return _enrolment(changed)

    def update_key(self, robot_id: str) -> str:
        """Of a robot that was approved, its update client's key; empty where it told none."""
        with self._transaction() as book:
            row = _row(book, robot_id)
        known = row is not None and State(row["state"]) is State.APPROVED
        return str(row["update_key_pem"]) if known and row is not None else ""

    def forget(self, robot_id: str) -> bool:
        """So that a name can be given again. A certificate once issued is good until it ends."""
        with self._transaction() as book:
            return book.execute("DELETE FROM enrolment WHERE robot_id=?", (robot_id,)).rowcount > 0

    def asking(self) -> list[Enrolment]:
        """Those that wait for an operator: few, however many robots there are."""
        with self._transaction() as book:
            query = "SELECT * FROM enrolment WHERE state=? ORDER BY robot_id"
            rows = book.execute(query, (State.ASKED,)).fetchall()
        return [_enrolment(row) for row in rows]

    def all(self) -> list[Enrolment]:
        with self._transaction() as book:
            rows = book.execute("SELECT * FROM enrolment ORDER BY robot_id").fetchall()
        return [_enrolment(row) for row in rows]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=10.0, isolation_level=None)) as book:
            book.row_factory = sqlite3.Row
            book.execute("PRAGMA synchronous=FULL")
            book.execute("BEGIN IMMEDIATE")
            try:
                yield book
            except BaseException:
                book.execute("ROLLBACK")
                raise
            book.execute("COMMIT")


def key_of_request(csr_pem: str, site: str, robot_id: str) -> ec.EllipticCurvePublicKey:
    """The key of a request that names this robot and is signed with it; nothing else is taken over:
    what a certificate may do is decided here, not by whoever asks."""
    if len(csr_pem) > CSR_MAX_BYTES:
        raise EnrolmentRefusedError(Refusal.REQUEST)
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        names = [name.value for name in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        key, signed = request.public_key(), request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise EnrolmentRefusedError(Refusal.REQUEST) from error
    sound = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    if not sound or not signed or names != [branch(site, robot_id)]:
        raise EnrolmentRefusedError(Refusal.REQUEST)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key


def normal_key(pem: str) -> str:
    """A public key as everybody writes it, or nothing; anything else is no request."""
    if not pem:
        return ""
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise EnrolmentRefusedError(Refusal.REQUEST) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise EnrolmentRefusedError(Refusal.REQUEST)
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    raw = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(raw).hexdigest()


def invitation(
    robot_id: str, site: str, token: str, ca_pem: str, fleet_url: str, broker: tuple[str, int]
) -> dict[str, Any]:
    """What is written to a robot when it is flashed; `runtime/enrol.py` reads it."""
    return {
        "version": 1,
        "robot_id": robot_id,
        "site": site,
        "fleet_url": fleet_url,
        "broker": {"host": broker[0], "port": broker[1]},
        "token": token,
        "ca_pem": ca_pem,
    }


def _digest(token: str) -> str:
    """A token is 256 random bits: a plain hash of it tells nothing and cannot be searched."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _row(book: sqlite3.Connection, robot_id: str) -> sqlite3.Row | None:
    return book.execute("SELECT * FROM enrolment WHERE robot_id=?", (robot_id,)).fetchone()


def _enrolment(row: sqlite3.Row) -> Enrolment:
    return Enrolment(
        str(row["robot_id"]),
        str(row["site"]),
        State(row["state"]),
        int(row["expires_s"]),
        str(row["key_sha256"]),
        int(row["changed_s"]),
    )
