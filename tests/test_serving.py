"""The whole way in a browser: people, a closed tab, a killed server, and figures that equal those by hand."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import statistics
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from listening_test import BAD, CHROMIUM, FAIR, small_test, start

pytest.importorskip("uvicorn")

from nacre.errors import InputError
from nacre.evaluation.listening.plan import ANSWERS, Plan, read_links
from nacre.evaluation.listening.results import results
from nacre.evaluation.listening.sequence import pages
from nacre.evaluation.listening.serving import serve
from nacre.evaluation.listening.store import Store

PATIENCE = 180_000  # milliseconds: machines are busy
SCORES = {"reference": 100, "anchor35": 10, "anchor70": 45, BAD: 30, FAIR: 70}


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    folder, _ = small_test(tmp_path, count=1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} of 127.0.0.1 cannot be used"):
            serve(folder, "127.0.0.1", port, lambda links: None)


class Listener:
    """One simulated participant: hears everything, knows the scores, types with the keyboard."""

    def __init__(self, browser: Any, folder: Path, plan: Plan, base: str, number: int) -> None:
        self.browser, self.folder, self.plan, self.base, self.number = browser, folder, plan, base, number
        self.token = ""

    def scores(self, trial: int) -> dict[str, int]:
        """What this one says of a trial; the fifth takes the reference for a codec."""
        moved = {FAIR: 60 + 4 * self.number + trial, BAD: 30 - trial}
        return SCORES | moved | ({"reference": 60} if self.number == 4 else {})

    async def join(self) -> None:
        """Open the invitation and agree."""
        self.context = await self.browser.new_context()
        self.context.set_default_timeout(PATIENCE)
        self.page = await self.context.new_page()
        await self.page.goto(f"{self.base}/join/{read_links(self.folder)['invitation']}")
        await self.page.fill("#name", f"<b>P{self.number}</b>")
        await self.page.check("#consent")
        await self.page.click("text=Begin")
        await self.page.wait_for_url("**/take/*")
        self.token = self.page.url.rpartition("/")[2]
        await self.page.wait_for_selector(".banner")
        await self.rate(SCORES, ["reference", "anchor35", "anchor70", BAD, FAIR])
        await self.page.click("#next")

    async def answer(self, place: int) -> None:
        """One page, from hearing to the next one."""
        store = Store(self.folder / ANSWERS)
        who = store.find(self.token)
        store.close()
        assert who is not None
        shown = pages(self.plan, who.seed)[place]
        await self.page.wait_for_selector(f"#count:text-is('Page {place + 1} of 6')")
        await self.rate(self.scores(shown.trial), shown.order)
        await self.page.click("#next")

    async def rate(self, scores: dict[str, int], order: Any) -> None:
        """Hear everything by keys; a slider takes the value and one key, as a pointer would leave it."""
        await self.page.wait_for_selector(".column")
        for i, name in enumerate(order):
            await self.page.keyboard.press("abcde"[i])
            slider = self.page.locator(".slot input").nth(i)
            await slider.evaluate(f"each => {{ each.value = {scores[name] - 1}; }}")
            await self.page.keyboard.press("ArrowUp")
        await self.page.keyboard.press("r")

    async def reopen(self) -> None:
        """Close the tab; come back through the invitation."""
        from playwright.async_api import Error as PlaywrightError

        await self.page.wait_for_selector("#count:text-is('Page 3 of 6')")
        await self.page.close()
        self.page = await self.context.new_page()
        while True:  # the server may just be dead
            with suppress(PlaywrightError):
                await self.page.goto(f"{self.base}/join/{read_links(self.folder)['invitation']}")
                break
            await asyncio.sleep(1)
        assert self.page.url.endswith(self.token)

    async def finish(self) -> None:
        """The last page has been sent."""
        await self.page.wait_for_selector("text=Thank you")


async def five(folder: Path, plan: Plan, server: list[subprocess.Popen[str]], port: int) -> None:
    """Five at a time; the third closes the tab after two pages; the server is killed when 12 answers are there."""
    from playwright.async_api import async_playwright

    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        people = [Listener(browser, folder, plan, f"http://127.0.0.1:{port}", i) for i in range(5)]

        async def take(one: Listener) -> None:
            await one.join()
            for place in range(6):
                if place == 2 and one.number == 2:
                    await one.reopen()
                await one.answer(place)
            await one.finish()

        async def kill() -> None:
            while await asyncio.to_thread(count, folder) < 12:
                await asyncio.sleep(0.1)
            server[0].send_signal(signal.SIGKILL)
            server[0].wait()
            await asyncio.sleep(4)  # answers are sent to nobody meanwhile, and again later
            server[0] = start(folder, port)[0]

        await asyncio.gather(kill(), *(take(one) for one in people))
        await browser.close()


def count(folder: Path) -> int:
    store = Store(folder / ANSWERS)
    try:
        return len(store.answers())
    finally:
        store.close()


@pytest.mark.slow
def test_mushra_from_the_invitation_to_the_figures(tmp_path: Path) -> None:
    pytest.importorskip("playwright")
    if not CHROMIUM.exists():
        pytest.skip("no Chromium here")
    folder, plan = small_test(tmp_path, count=6)
    process, port = start(folder, 0)
    server = [process]
    try:
        asyncio.run(asyncio.wait_for(five(folder, plan, server, port), 1500))
    finally:
        server[0].kill()
        server[0].wait()
    found = results(folder)
    assert [(each.name, each.answers) for each in sorted(found.listeners, key=lambda each: each.name)] == [
        (f"<b>P{i}</b>", 6) for i in range(5)
    ]
    assert {each.name: each.excluded for each in found.listeners if each.excluded} == {
        "<b>P4</b>": "rated the hidden reference below 90 in 100% of trials"
    }
    by_hand = {
        FAIR: [60 + 4 * i + 2.5 for i in range(4)],
        BAD: [27.5] * 4,
        "reference": [100] * 4,
        "anchor70": [45] * 4,
    }
    for name, means in by_hand.items():
        interval = next(each for each in found.scores if each.condition == name).interval
        reach = 3.182446 * statistics.stdev(means) / 2
        assert (interval.mean, interval.count) == (pytest.approx(statistics.fmean(means)), 4)
        assert interval.high - interval.mean == pytest.approx(reach, abs=1e-4)
    gap = next(each for each in found.differences if {each.first, each.second} == {BAD, FAIR})
    assert (gap.p, gap.p_holm) == (2 / 16, 1.0)


def test_the_server_answers_and_ends_when_asked(tmp_path: Path) -> None:
    from urllib.request import urlopen

    folder, _ = small_test(tmp_path, count=1)
    process, port = start(folder, 0)
    try:
        with urlopen(f"http://127.0.0.1:{port}/api/join/{read_links(folder)['invitation']}", timeout=30) as reply:
            assert json.load(reply)["kind"] == "mushra"
            assert "server" not in reply.headers
    finally:
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        process.wait(30)
    assert time.monotonic() - begun < 20
