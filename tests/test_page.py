"""The page of a report: its text here, what it does in a real browser where there is one (`pytest -m slow`)."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from small_campaign import NAMES, Watcher, make_clips, measured

from nacre.evaluation import page as module
from nacre.evaluation.campaign import run
from nacre.evaluation.page import leading
from nacre.evaluation.report import Report, page
from nacre.evaluation.summary import summarise
from nacre.evaluation.timing import Timing

for package in ("pystoi", "av"):
    pytest.importorskip(package)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Elements(HTMLParser):
    """All elements, with their attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.found[-1] if self.found else ("", {})
        if tag == "script":
            name = attributes.get("id") or "code"
            self.words[name] = self.words.get(name, "") + data


def made() -> Report:
    return Report(measured(), summarise(measured()), {"pearl-24k": Timing("pearl-24k", 3.6, 50.0)})


def test_all_is_in_the_page_and_nothing_is_fetched() -> None:
    elements = Elements(page(made()))
    assert not [a for _, a in elements.found if "src" in a or ("href" in a and "//" in str(a["href"]))]
    assert sum(tag == "svg" and a.get("role") == "img" for tag, a in elements.found) == 3  # two metrics and speed
    data = json.loads(elements.words["data"])
    assert [clip["name"] for clip in data["clips"]][-1] == "broken.wav"
    sounds = [v["sound"] for clip in data["clips"] for v in clip["versions"]]
    assert len(sounds) == 9 and all(base64.b64decode(elements.words[name])[:4] == b"fLaC" for name in sounds)
    assert (data["leading"], data["asked"]) == ("stoi", [1500, 6000])


def test_clips_that_find_no_room_are_named_with_their_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._Sounds.__init__, "__defaults__", (0, *module._Sounds.__init__.__defaults__[1:]))
    data = json.loads(Elements(page(made())).words["data"])
    versions = [v for clip in data["clips"] for v in clip["versions"]]
    assert all(v["sound"] == "" and (Path(measured().plan.out) / v["file"]).is_file() for v in versions)


def test_intervals_are_small_and_speeds_stand_beside_their_chart() -> None:
    text = page(made())
    mean = made().summary.rows[0].means["stoi"]
    assert f"<td>{mean.mean:.3f} <small>{mean.low:.3f} to {mean.high:.3f}</small></td>" in text
    section = text.partition('<h2 id="speed">')[2].partition("</section>")[0]
    assert section.count("<svg") == 1 and '<th scope="row">both, × real time</th><td>50</td></tr>' in section
    assert text.count("both, × real time") == 1
    alone = page(replace(made(), summary=replace(made().summary, rows=[])))  # no chart
    assert alone.count("both, × real time") == 1


def test_names_cannot_break_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured()
    evil = "</script><img src=x onerror=alert(1)>.wav"
    clips = [replace(found.clips[0], name=evil), *found.clips[1:]]
    campaign = replace(found, clips=clips, failures={evil: {"pearl-24k": evil, "Opus": evil}})
    elements = Elements(page(Report(campaign, summarise(campaign), {})))
    assert not [tag for tag, _ in elements.found if tag == "img"]
    assert any(clip["name"] == evil for clip in json.loads(elements.words["data"])["clips"])


def test_what_clips_go_by() -> None:
    assert leading(["si_sdr", "stoi", "pesq_wb"]) == "pesq_wb"
    assert leading(["si_sdr"]) == "si_sdr"
    assert leading([]) == ""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real Chromium, without a window."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as started:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of three clips of 4 s."""
    folder = tmp_path_factory.mktemp("page")
    data = make_clips(folder / "clips", 4.0)
    campaign = run(replace(measured().plan, data=(str(data),), out=str(folder / "out")), Watcher())
    (folder / "report.html").write_text(page(Report(campaign, summarise(campaign), {})), "utf-8")
    return folder / "report.html"


@pytest.fixture
def shown(browser: Any, place: Path) -> Iterator[Any]:
    """The page, opened; whatever goes wrong in it, or asks the network, is an error."""
    tab = browser.new_page()
    trouble: list[str] = []
    tab.on("pageerror", lambda error: trouble.append(str(error)))
    tab.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    tab.on("request", lambda request: trouble.append(request.url) if request.url != place.as_uri() else None)
    tab.goto(place.as_uri())
    yield tab
    tab.close()
    assert trouble == []


def panel(tab: Any) -> dict[str, str]:
    found: dict[str, str] = tab.eval_on_selector(".panel", "panel => ({...panel.dataset})")
    return found


def until(tab: Any, true: Callable[[], bool]) -> None:
    """Wait, at most half a minute; the page forbids what Playwright's own waiting does."""
    for _ in range(600):
        if true():
            return
        tab.wait_for_timeout(50)
    pytest.fail(f"it did not come to be: {panel(tab)}")


def names(tab: Any) -> list[str]:
    found: list[str] = tab.eval_on_selector_all("#clip-table .open", "all => all.map(each => each.textContent)")
    return found


@pytest.mark.slow
def test_clips_play_and_switch_at_the_same_place(shown: Any) -> None:
    shown.click("#clip-table .open >> nth=0")
    shown.wait_for_selector(".panel[data-ready]")
    assert shown.locator(".panel [data-version]").all_inner_texts()[0] == "Original"
    shown.click(".play")
    until(shown, lambda: float(panel(shown)["position"]) > 0.3)
    switch = """number => {
        document.querySelector(`[data-version='${number}']`).click();
        return {...document.querySelector('.panel').dataset}; }"""
    before, after = shown.evaluate(f"() => [({switch})(0), ({switch})(2)]")  # at once: a busy machine clicks late
    assert (before["version"], after["version"], after["playing"]) == ("0", "2", "true")
    assert 0 <= float(after["position"]) - float(before["position"]) < 0.05
    until(shown, lambda: float(panel(shown)["position"]) > float(after["position"]) + 0.2)
    shown.keyboard.press("p")
    still = panel(shown)
    shown.keyboard.press("1")
    assert (panel(shown)["version"], panel(shown)["playing"]) == ("0", "false")
    assert panel(shown)["position"] == still["position"]
    shown.click(".play")
    until(shown, lambda: panel(shown)["playing"] == "false")
    assert float(panel(shown)["position"]) == 0  # it has come to its end


@pytest.mark.slow
def test_arrows_go_from_version_to_version_and_0_to_the_original_and_back(shown: Any) -> None:
    shown.click("#clip-table .open >> nth=0")
    shown.wait_for_selector(".panel[data-ready]")
    versions = []
    for key in ("ArrowRight", "ArrowRight", "0", "0", "ArrowLeft", "ArrowLeft", "ArrowLeft", "3"):
        shown.keyboard.press(key)
        versions.append(panel(shown)["version"])
    assert versions == ["1", "2", "0", "2", "1", "0", "0", "2"]
    assert shown.locator(".panel [aria-pressed=true]").get_attribute("aria-label").startswith("pearl-24k 5.")


@pytest.mark.slow
def test_ten_clips_are_shown_until_one_asks_for_all(browser: Any, tmp_path: Path) -> None:
    found = measured()
    more = [replace(found.clips[0], name=f"{i:02}.wav") for i in range(12)]
    campaign = replace(found, clips=more)
    (tmp_path / "report.html").write_text(page(Report(campaign, summarise(campaign), {})), "utf-8")
    tab = browser.new_page()
    tab.goto((tmp_path / "report.html").as_uri())
    assert len(names(tab)) == 10
    tab.click("text=Show all 12 clips")
    assert len(names(tab)) == 12 and not tab.is_visible("#more")
    tab.close()


@pytest.mark.slow
def test_spectrograms_show_the_sounds_and_no_difference_to_itself(shown: Any) -> None:
    shown.click("#clip-table .open >> nth=0")
    shown.wait_for_selector(".panel[data-ready]")
    colours = """all => all.map(canvas => {
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return new Set(Array.from({length: data.length / 4}, (_, i) => data.slice(4 * i, 4 * i + 3).join())).size; })"""
    original, now, gap = shown.eval_on_selector_all(".panel canvas", colours)
    assert original == now > 500 and gap == 1
    shown.keyboard.press("2")
    assert shown.eval_on_selector_all(".panel canvas", colours)[2] > 100


@pytest.mark.slow
def test_columns_sort_both_ways_and_the_broken_clip_stays_last(shown: Any) -> None:
    worst_first = names(shown)
    assert worst_first[-1] == "broken.wav" and set(worst_first[:3]) == set(NAMES)
    heading = shown.locator("#clip-table thead th", has_text="pearl-24k")
    cells = "rows => rows.map(row => parseFloat(row.cells[3].textContent))"
    heading.locator("button").click()
    rising = shown.eval_on_selector_all("#clip-table tbody tr", cells)[:3]
    heading.locator("button").click()
    falling = shown.eval_on_selector_all("#clip-table tbody tr", cells)[:3]
    assert rising == sorted(rising) and falling == rising[::-1]
    assert heading.get_attribute("aria-sort") == "descending" and names(shown)[-1] == "broken.wav"
    shown.select_option("#metric", "si_sdr")
    assert shown.eval_on_selector_all("#clip-table tbody tr", cells)[:3] != falling


@pytest.mark.slow
def test_a_phone_needs_no_sideways_scrolling(shown: Any) -> None:
    shown.set_viewport_size({"width": 390, "height": 800})
    shown.click("#clip-table .open >> nth=0")
    shown.wait_for_selector(".panel[data-ready]")
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    for part in shown.locator(".panel button, .panel canvas, .panel input").all():  # what is opened is all in sight
        box = part.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
