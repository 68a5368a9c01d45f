"""The pages of a listening test over HTTP: five people, a stranger, hostile words, and what the owner gets."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from listening_test import small_test

pytest.importorskip("starlette")
pytest.importorskip("httpx2")
from starlette.testclient import TestClient

from nacre.evaluation.listening import app as module
from nacre.evaluation.listening.app import MOST_BODY, Booth
from nacre.evaluation.listening.plan import read_links
from nacre.evaluation.listening.sequence import pages

HOSTILE = "<script>alert(1)</script> =cmd\x1b[2J\u202e\n"
SCORES = {"reference": 100, "anchor35": 15, "anchor70": 55, "bad": 40, "fair <i>": 80}


@pytest.fixture(scope="module")
def test_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_test(tmp_path_factory.mktemp("listening"))[0]


@pytest.fixture
def booth(test_folder: Path) -> Iterator[Booth]:
    for file in test_folder.glob("answers*"):
        file.unlink()
    made = Booth(test_folder)
    yield made
    made.store.close()


def client(booth: Booth) -> TestClient:
    return TestClient(booth.app, follow_redirects=False)


def join(booth: Booth, name: str = "Ada") -> tuple[TestClient, str]:
    """A browser and the token of its participant."""
    browser = client(booth)
    said = browser.post(f"/api/join/{booth.links['invitation']}", json={"name": name, "consent": True})
    assert said.status_code == 201, said.text
    return browser, said.json()["take"].removeprefix("/take/")


def answer(booth: Booth, browser: TestClient, token: str, place: int, scores: dict[str, int]) -> Any:
    """Answer a page as someone would who hears everything: by condition, whatever the order."""
    who = booth.store.find(token)
    assert who is not None
    page = pages(booth.plan, who.seed)[place]
    said = [scores[name] for name in page.order]
    return browser.post(f"/api/take/{token}/answers/{place}", json={"answer": said, "seconds": 3.5, "comment": HOSTILE})


def test_five_take_the_test_and_the_owner_sees_it(booth: Booth) -> None:
    def take(i: int) -> None:
        browser, token = join(booth, f"P{i}")
        for place in range(2):
            scores = SCORES | {"fair <i>": 70 + 5 * i, "reference": 50 if i == 4 else 100}
            assert answer(booth, browser, token, place, scores).json() == {"new": True}

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(take, range(5)))
    found = client(booth).get(f"/api/owner/{booth.links['owner']}").json()
    assert len(found["listeners"]) == 5
    assert [each["name"] for each in found["listeners"] if each["excluded"]] == ["P4"]
    score = next(each for each in found["scores"] if each["condition"] == "fair <i>")
    reach = 3.182446 * 6.454972 / 2  # t(3), s of 70 75 80 85, root of 4
    assert score["interval"]["mean"] == 77.5
    assert score["interval"]["high"] == pytest.approx(77.5 + reach, abs=1e-4)


def test_who_comes_back_goes_on(booth: Booth) -> None:
    browser, token = join(booth)
    browser.post(f"/api/take/{token}/practised", json={})
    assert answer(booth, browser, token, 0, SCORES).status_code == 201
    again = browser.get(f"/join/{booth.links['invitation']}")  # the same browser, the same invitation
    assert (again.status_code, again.headers["location"]) == (303, f"/take/{token}")
    (cookie,) = browser.cookies.keys()
    other = hashlib.sha256(b"another test's invitation").hexdigest()[:12]
    browser.cookies.set(f"{cookie.rpartition('_')[0]}_{other}", "hers")  # of a test at another port of this machine
    assert browser.get(f"/join/{booth.links['invitation']}").headers["location"] == f"/take/{token}"
    state = client(booth).get(f"/api/take/{token}").json()  # another device, one's own link
    assert state["practice"]["answered"]
    assert [page["answered"] for page in state["pages"]] == [True, False]
    assert answer(booth, browser, token, 0, SCORES | {"bad": 99}).json() == {"new": False}
    assert [each.judged["bad"] for each in booth.store.answers()] == [40]


def test_a_personal_link_is_for_one_person(booth: Booth) -> None:
    for file in (ada := booth.store.invite(HOSTILE)), booth.store.invite("Bo"):
        link = f"/api/join/{file.token}"
        assert client(booth).get(link).json()["name"] == file.name
        assert client(booth).get(f"/join/{file.token}").status_code == 200
    browser, token = join(booth)  # someone else, in the same browser
    link = f"/api/join/{ada.token}"
    assert browser.get(f"/join/{ada.token}").status_code == 200
    assert browser.post(link, json={"name": "Eve"}).status_code == 422  # no consent
    taken = [browser.post(link, json={"name": "Eve", "consent": True}).json()["take"] for _ in range(2)]
    assert taken[0] == taken[1] != f"/take/{token}"
    again = client(booth).get(f"/join/{ada.token}")  # on another device
    assert (again.status_code, again.headers["location"]) == (303, taken[0])
    assert [who.name for who in booth.store.participants()] == ["Ada", HOSTILE]
    found = browser.get(f"/api/owner/{booth.links['owner']}").json()["invited"]
    assert [(name, accepted) for name, _, accepted in found] == [(HOSTILE, True), ("Bo", False)]


def test_pages_do_not_say_what_is_behind_the_letters(booth: Booth) -> None:
    browser, token = join(booth)
    seen = browser.get(f"/api/take/{token}").text + browser.get(f"/take/{token}").text
    assert not any(word in seen for word in ("anchor", "fair", "reference", "sounds/"))


def test_sounds_come_whole_and_in_ranges(booth: Booth, test_folder: Path) -> None:
    browser, token = join(booth)
    who = booth.store.find(token)
    assert who is not None
    page = pages(booth.plan, who.seed)[1]
    for place, file in enumerate(page.sounds):
        reply = browser.get(f"/api/take/{token}/sound/1/{place}")
        assert reply.content == (test_folder / file).read_bytes()
        assert reply.headers["content-type"] == "audio/wav"
    part = browser.get(f"/api/take/{token}/sound/1/0", headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, (test_folder / page.sounds[0]).read_bytes()[100:200])
    beyond = browser.get(f"/api/take/{token}/sound/1/0", headers={"range": "bytes=999999999-"})
    assert beyond.status_code == 416
    assert browser.get(f"/api/take/{token}/sound/practice/0").status_code == 200
    for place in ("1/6", "2/0", "-1/0", "x/0", "1/..%2f..%2ftest.json"):
        assert browser.get(f"/api/take/{token}/sound/{place}").status_code == 404


def test_nothing_opens_without_its_token(booth: Booth) -> None:
    browser, token = join(booth)
    invitation, owner = booth.links["invitation"], booth.links["owner"]
    wrong = ["x", "é", token, owner[:-1], owner + "x"]
    for key in [*wrong, invitation]:
        for path in (
            f"/owner/{key}",
            f"/api/owner/{key}",
            f"/api/owner/{key}/figure.svg",
            f"/api/owner/{key}/answers.csv",
        ):
            assert browser.get(path).status_code == 404
    for key in (*wrong, owner):
        assert browser.get(f"/join/{key}").status_code == 404
        assert browser.post(f"/api/join/{key}", json={"name": "x", "consent": True}).status_code == 404
    for key in ("x", invitation, owner):
        assert browser.get(f"/take/{key}").status_code == 404
        assert browser.get(f"/api/take/{key}/sound/0/0").status_code == 404
        assert browser.post(f"/api/take/{key}/answers/0", json={"answer": []}).status_code == 404
    assert len(booth.store.participants()) == 1
    assert browser.get("/web/../app.py").status_code == browser.get("/web/owner.html").status_code == 404


def test_hostile_words_are_words(booth: Booth) -> None:
    browser, token = join(booth, HOSTILE)
    answer(booth, browser, token, 0, SCORES)
    (name,) = [who.name for who in booth.store.participants()]
    assert name == "<script>alert(1)</script> =cmd [2J"  # no escapes for terminals, no line breaks, no turned text
    own = f"/api/owner/{booth.links['owner']}"
    data = browser.get(own)
    assert data.headers["content-type"] == "application/json"
    assert data.json()["comments"][0][0] == name
    picture = browser.get(f"{own}/figure.svg").text
    assert "<b>" not in picture and "<i>" not in picture and "&lt;i&gt;" in picture
    for page in (f"/take/{token}", f"/owner/{booth.links['owner']}"):
        assert "alert" not in browser.get(page).text
    join(booth, "=1+1")[0]
    assert "\n1,<script>" in browser.get(f"{own}/answers.csv").text
    rows = list(csv.reader(io.StringIO(browser.get(f"{own}/answers.csv").text)))
    assert (len(rows), len(rows[1])) == (1 + 5, 8)
    assert module._harmless("=1+1") == "'=1+1"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [(b"{", "application/json", 400), (b"[]", "application/json", 400), (b"[" * 9000, "application/json", 400),
     (b"{}", "application/json", 422), (b'{"name": "a"}', "application/json", 422),
     (b'{"name": " \\u0000 ", "consent": true}', "application/json", 422),
     (b'{"name": "a", "consent": "yes"}', "application/json", 422), (b"\xff", "application/json", 400),
     (b'{"name": "a", "consent": true}', "text/plain", 415),
     (b'{"name": "' + b"a" * MOST_BODY + b'", "consent": true}', "application/json", 413)],
)  # fmt: skip
def test_what_is_no_sensible_body_is_refused(booth: Booth, body: bytes, kind: str, status: int) -> None:
    place = f"/api/join/{booth.links['invitation']}"
    reply = client(booth).post(place, content=body, headers={"content-type": kind})
    assert (reply.status_code, set(reply.json())) == (status, {"error"})
    assert booth.store.participants() == []


def test_answers_of_another_form_are_refused(booth: Booth) -> None:
    browser, token = join(booth)
    for said in ([1, 2], [0] * 6, [101] * 5, None, "x", [1.5] * 5):
        reply = browser.post(f"/api/take/{token}/answers/0", json={"answer": said, "seconds": "now", "comment": 7})
        assert reply.status_code == 422
    assert browser.post(f"/api/take/{token}/answers/9", json={"answer": [1] * 5}).status_code == 404
    assert browser.post(f"/api/take/{token}/answers/practice", json={"answer": [1] * 5}).status_code == 404
    assert browser.get(f"/api/take/{token}/answers/0").status_code == 405
    assert booth.store.answers() == []


def test_every_reply_has_its_shields(booth: Booth) -> None:
    browser, token = join(booth)
    paths = ["/", "/nowhere", "/web/listen.js", f"/take/{token}", f"/api/take/{token}", f"/api/take/{token}/sound/0/0"]
    for path in paths:
        headers = browser.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
    joined = browser.post(f"/api/join/{booth.links['invitation']}", json={"name": "x", "consent": True})
    cookie = joined.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie


def test_links_of_the_folder_are_the_links_of_the_app(booth: Booth, test_folder: Path) -> None:
    assert booth.links == read_links(test_folder)
    assert json.loads(client(booth).get(f"/api/join/{booth.links['invitation']}").text)["trials"] == 2
