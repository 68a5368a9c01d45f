"""Participants and their answers, in one SQLite file with a write-ahead log.

An answer is on the disk before it is acknowledged (synchronous=FULL): a server that is killed loses none.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from ...errors import DamagedError, InputError

MOST_PARTICIPANTS = 2_000  # an invitation that got into wrong hands fills no disk
_WAIT = 10.0  # seconds for another process that writes
_SCHEMA = """
CREATE TABLE IF NOT EXISTS participants (
    id INTEGER PRIMARY KEY, token TEXT NOT NULL UNIQUE, name TEXT NOT NULL, seed INTEGER NOT NULL,
    joined REAL NOT NULL, practised INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS answers (
    participant INTEGER NOT NULL REFERENCES participants(id), trial INTEGER NOT NULL, judged TEXT NOT NULL,
    comment TEXT NOT NULL, seconds REAL NOT NULL, at REAL NOT NULL, PRIMARY KEY (participant, trial)
);
CREATE TABLE IF NOT EXISTS invitations (
    token TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, participant INTEGER REFERENCES participants(id)
);
"""


@dataclass(frozen=True)
class Participant:
    """One who takes the test."""

    id: int
    token: str
    name: str
    seed: int
    joined: float  # seconds since 1970
    practised: bool


@dataclass(frozen=True)
class Invitation:
    """A link for one person, who is known by the name that the owner gave."""

    token: str
    name: str
    participant: int | None  # None until it is accepted


@dataclass(frozen=True)
class Answer:
    """What one participant said on one page."""

    participant: int
    trial: int
    judged: dict[str, float]  # by condition
    comment: str = ""
    seconds: float = 0.0  # spent on the page
    at: float = 0.0  # seconds since 1970


class Store:
    """The file, opened; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        try:
            self._file = sqlite3.connect(path, timeout=_WAIT, check_same_thread=False)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=FULL")
            self._file.execute("PRAGMA foreign_keys=ON")
            self._file.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise DamagedError(f"{path} cannot be used as the file of answers: {error}") from error

    def close(self) -> None:
        """Close the file; the log goes into it."""
        self._file.close()

    def join(self, name: str) -> Participant:
        """A new participant with a token and an order of their own."""
        with self._writing() as file:
            (count,) = file.execute("SELECT count(*) FROM participants").fetchone()
            if count >= MOST_PARTICIPANTS:
                raise InputError(f"this test has its {MOST_PARTICIPANTS} participants; no more are taken")
            who = _enter(file, name)
        return self._person(who)

    def invite(self, name: str) -> Invitation:
        """A link for one person; the same name has the same link."""
        with self._writing() as file:
            file.execute(
                "INSERT OR IGNORE INTO invitations (token, name) VALUES (?, ?)", (secrets.token_urlsafe(24), name)
            )
        return next(each for each in self.invitations() if each.name == name)

    def invitations(self) -> list[Invitation]:
        """All that were made for one person, in that order."""
        return [
            Invitation(*row) for row in self._rows("SELECT token, name, participant FROM invitations ORDER BY rowid")
        ]

    def invitation(self, token: str) -> Invitation | None:
        """The personal invitation of this token."""
        return next((each for each in self.invitations() if secrets.compare_digest(each.token, token)), None)

    def accept(self, token: str) -> Participant:
        """The participant whom a personal invitation is for; new the first time."""
        with self._writing() as file:
            query = "SELECT name, participant FROM invitations WHERE token = ?"
            name, who = file.execute(query, (token,)).fetchone()
            if who is None:
                who = _enter(file, name)
                file.execute("UPDATE invitations SET participant = ? WHERE token = ?", (who, token))
        return self._person(who)

    def find(self, token: str) -> Participant | None:
        """Whose token this is."""
        return next(self._people("WHERE token = ?", token), None)

    def participants(self) -> list[Participant]:
        """All, in the order they came."""
        return list(self._people("ORDER BY id"))

    def practised(self, participant: int) -> None:
        """Note that the practice page is done."""
        with self._writing() as file:
            file.execute("UPDATE participants SET practised = 1 WHERE id = ?", (participant,))

    def keep(self, answer: Answer) -> bool:
        """Write an answer to the disk; False when this page was answered before, and then the first answer stays."""
        values = (answer.participant, answer.trial, json.dumps(answer.judged), answer.comment, answer.seconds)
        with self._writing() as file:
            done = file.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?)", (*values, time.time()))
            return done.rowcount == 1

    def answered(self, participant: int) -> set[int]:
        """Trials that this participant has answered."""
        rows = self._rows("SELECT trial FROM answers WHERE participant = ?", participant)
        return {int(trial) for (trial,) in rows}

    def answers(self) -> list[Answer]:
        """All answers, participant by participant."""
        rows = self._rows("SELECT * FROM answers ORDER BY participant, trial")
        return [Answer(who, trial, json.loads(said), note, took, at) for who, trial, said, note, took, at in rows]

    def _person(self, who: int) -> Participant:
        return next(self._people("WHERE id = ?", who))

    def _people(self, clause: str, *values: object) -> Iterator[Participant]:
        columns = "id, token, name, seed, joined, practised"
        for who, token, name, seed, joined, practised in self._rows(
            f"SELECT {columns} FROM participants {clause}", *values
        ):
            yield Participant(who, token, name, seed, joined, bool(practised))

    def _rows(self, query: str, *values: object) -> list[Any]:
        with self._lock:
            return self._file.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One change, on the disk when the block is left."""
        with self._lock, self._file:
            self._file.execute("BEGIN IMMEDIATE")
            yield self._file


def _enter(file: sqlite3.Connection, name: str) -> int:
    """The number of a new participant, with a token and an order of their own."""
    row = (secrets.token_urlsafe(24), name, secrets.randbits(48), time.time())
    entered = file.execute("INSERT INTO participants (token, name, seed, joined) VALUES (?, ?, ?, ?)", row)
    assert entered.lastrowid is not None
    return entered.lastrowid
