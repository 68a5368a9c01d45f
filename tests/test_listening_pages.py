"""AB, ABX and ACR in a real browser, by keyboard alone, from a personal invitation to the figures; and on a phone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from listening_test import BAD, CHROMIUM, FAIR, small_test, start

pytest.importorskip("uvicorn")

from nacre.evaluation.listening.plan import ANSWERS, Kind, Plan
from nacre.evaluation.listening.results import Results, results
from nacre.evaluation.listening.sequence import Page, pages
from nacre.evaluation.listening.store import Store

pytestmark = pytest.mark.slow
PATIENCE = 120_000  # milliseconds: machines are busy
BETTER = {"reference": 5, FAIR: 4, BAD: 2}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield found
        found.close()


class Booth:
    """A test that is being served, and what its store says."""

    def __init__(self, place: Path, kind: Kind) -> None:
        self.kind = kind
        self.folder, self.plan = small_test(place, kind, count=2)
        self.process, port = start(self.folder, 0)
        self.base = f"http://127.0.0.1:{port}"

    def invite(self, name: str) -> str:
        """The link of one person."""
        store = Store(self.folder / ANSWERS)
        token = store.invite(name).token
        store.close()
        return f"{self.base}/join/{token}"

    def shown(self, url: str) -> list[Page]:
        """The pages of whoever is at this address."""
        store = Store(self.folder / ANSWERS)
        who = store.find(url.rpartition("/")[2])
        store.close()
        assert who is not None
        return pages(self.plan, who.seed)


@pytest.fixture
def booth(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Booth]:
    made = Booth(tmp_path, request.param)
    yield made
    made.process.kill()
    made.process.wait()


def open_page(context: Any) -> Any:
    """A new tab; what goes wrong in it is an error of the test."""
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()

    def fail(error: Any) -> None:
        raise AssertionError(f"the page says {error}")

    tab.on("pageerror", fail)
    return tab


def tab_to(tab: Any, selector: str) -> None:
    """Go on by the Tab key until this has the focus."""
    for _ in range(30):
        if tab.evaluate(f"document.activeElement.matches({selector!r})"):
            return
        tab.keyboard.press("Tab")
    pytest.fail(f"the Tab key does not come to {selector}")


def join(tab: Any, link: str) -> None:
    """Agree, by keyboard."""
    tab.goto(link)
    tab.wait_for_selector("form")
    tab_to(tab, "#consent")
    tab.keyboard.press("Space")
    tab_to(tab, "form button")
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".banner")


def right(plan: Plan, page: Page) -> str:
    """The key that says what is true, or better."""
    if plan.kind == "abx":
        return str(page.x + 1)
    if plan.kind == "acr":
        return str(BETTER[page.order[0]])
    first, second = (BETTER[name] for name in page.order)
    return "1" if first > second else "3"


def hear(tab: Any, kind: str) -> None:
    """Play all that is to be heard; each by its letter, and the page says that it plays."""
    for key in {"ab": "ab", "abx": "abx", "acr": "p"}[kind]:
        label = {"p": "Recording"}.get(key, key.upper())
        tab.keyboard.press(key)
        tab.get_by_role("button", name=f"Play {label}", exact=True, pressed=True).wait_for()


def take(tab: Any, booth: Booth) -> None:
    """The practice and every page, right; the last answer waits for Enter until everything is judged."""
    for page in [None, *booth.shown(tab.url)]:
        place = (
            "Practice" if page is None else f"Page {booth.shown(tab.url).index(page) + 1} of {len(booth.plan.trials())}"
        )
        tab.wait_for_selector(f"#count:text-is({place!r})")
        tab.wait_for_selector("fieldset")
        tab.keyboard.press("Enter")
        assert tab.inner_text("#missing").startswith("Still to hear")
        hear(tab, booth.kind)
        assert tab.inner_text("#missing") == "Still to choose"
        tab.keyboard.press("1" if page is None else right(booth.plan, page))
        tab.wait_for_selector("#next:enabled")
        tab.keyboard.press("Enter")
    tab.wait_for_selector("text=Thank you")


def check(found: Results) -> None:
    """What somebody who hears everything comes to."""
    assert [(each.name, each.complete, each.excluded) for each in found.listeners] == [("Ada", True, "")]
    if found.kind == "ab":
        (gap,) = found.differences
        assert {gap.first: gap.estimate.mean, gap.second: 1 - gap.estimate.mean} == {FAIR: 1, BAD: 0}
        assert gap.count == 2
    elif found.kind == "abx":
        assert {gap.second: (gap.estimate.mean, gap.p) for gap in found.differences} == {
            BAD: (1, 0.25),
            FAIR: (1, 0.25),
        }
    else:
        assert {score.condition: score.interval.mean for score in found.scores} == BETTER


@pytest.mark.parametrize("booth", ["ab", "abx", "acr"], indirect=True)
def test_by_keyboard_from_the_invitation_to_the_figures(browser: Any, booth: Booth) -> None:
    link = booth.invite("Ada")
    context = browser.new_context()
    tab = open_page(context)
    join(tab, link)
    take(tab, booth)
    own = tab.url
    context.close()
    again = browser.new_context()  # another device: the same person, where they were
    tab = open_page(again)
    tab.goto(link)
    tab.wait_for_selector("text=Thank you")
    assert tab.url == own
    again.close()
    check(results(booth.folder))


@pytest.mark.parametrize("booth", ["mushra", "ab", "abx", "acr"], indirect=True)
def test_a_phone_has_room_and_everything_has_a_name(browser: Any, booth: Booth) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    tab = open_page(context)
    tab.goto(booth.invite("Ada"))
    tab.wait_for_selector("form")
    fits(tab)
    tab.locator("#consent").tap()
    tab.locator("form button").tap()
    tab.wait_for_selector("#next")
    fits(tab)
    unnamed = """all => all.filter(each => !each.getAttribute('aria-label') && !each.labels?.length
        && !each.textContent.trim()).map(each => each.outerHTML)"""
    assert tab.locator("button, input, textarea, summary").evaluate_all(unnamed) == []
    boxes = [each.bounding_box() for each in tab.locator(".play, .round, #next, .option").all()]
    assert all(box["height"] >= 44 and box["width"] >= 44 for box in boxes)
    for one, other in itertools.combinations(boxes, 2):  # nothing lies over another
        across = min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"])
        down = min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"])
        assert across <= 0.5 or down <= 0.5
    tab.locator(".play").first.tap()
    tab.wait_for_selector(".play[aria-pressed=true]")
    context.close()


def fits(tab: Any) -> None:
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
