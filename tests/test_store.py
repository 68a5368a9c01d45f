"""Answers: there when acknowledged, once each, whoever else writes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nacre.errors import DamagedError, InputError
from nacre.evaluation.listening import store as module
from nacre.evaluation.listening.store import Answer, Store


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.sqlite")
    ada = store.join("Ada")
    assert store.keep(Answer(ada.id, 3, {"one": 40.0}, "hm", 2.5))
    store.practised(ada.id)
    store.close()
    again = Store(tmp_path / "a.sqlite")
    (found,) = again.answers()
    assert (found.participant, found.trial, found.judged, found.comment) == (ada.id, 3, {"one": 40.0}, "hm")
    assert again.answered(ada.id) == {3}
    known = again.find(ada.token)
    assert known is not None and known.practised and known.seed == ada.seed
    assert again.find("other") is None
    again.close()


def test_tokens_cannot_be_guessed_and_orders_differ(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.sqlite")
    people = [store.join("same name") for _ in range(30)]
    assert len({who.token for who in people}) == len({who.seed for who in people}) == 30
    assert min(len(who.token) for who in people) >= 32
    store.close()


def test_a_personal_invitation_makes_one_participant(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.sqlite")
    ada, bo = store.invite("Ada"), store.invite("Bo")
    assert store.invite("Ada") == ada and ada.token != bo.token and len(ada.token) >= 32
    assert store.invitation(bo.token) == bo and store.invitation(bo.token[:-1]) is None
    with ThreadPoolExecutor(4) as pool:
        people = list(pool.map(store.accept, [ada.token] * 8))
    assert len({who.id for who in people}) == 1 and people[0].name == "Ada"
    assert [each.participant for each in store.invitations()] == [people[0].id, None]
    assert [who.name for who in store.participants()] == ["Ada"]
    store.close()


def test_the_first_answer_to_a_page_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.sqlite")
    who = store.join("Ada").id
    assert store.keep(Answer(who, 0, {"one": 1.0}))
    assert not store.keep(Answer(who, 0, {"one": 2.0}))
    assert [answer.judged for answer in store.answers()] == [{"one": 1.0}]
    with pytest.raises(sqlite3.IntegrityError):
        store.keep(Answer(99, 0, {}))
    store.close()


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.sqlite")
    people = [store.join(str(i)).id for i in range(5)]
    jobs = [Answer(who, trial, {"one": float(trial)}) for who in people for trial in range(20)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(store.keep, jobs))
    assert len(store.answers()) == 100
    store.close()


def test_an_acknowledged_answer_survives_a_killed_process(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from nacre.evaluation.listening.store import Answer, Store\n"
        "store = Store(Path(sys.argv[1]))\nwho = store.join('Ada').id\n"
        "for i in range(10): store.keep(Answer(who, i, {'one': float(i)}))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    place = tmp_path / "a.sqlite"
    done = subprocess.run([sys.executable, "-c", code, place], env={**os.environ}, timeout=60, check=False)
    assert done.returncode == -9
    store = Store(place)
    assert [answer.trial for answer in store.answers()] == list(range(10))
    store.close()


def test_an_invitation_in_wrong_hands_fills_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PARTICIPANTS", 2)
    store = Store(tmp_path / "a.sqlite")
    store.join("a"), store.join("b")
    with pytest.raises(InputError, match="no more are taken"):
        store.join("c")
    store.close()


def test_another_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_bytes(b"RIFF" * 1000)
    with pytest.raises(DamagedError, match="cannot be used as the file of answers"):
        Store(tmp_path / "a.sqlite")
