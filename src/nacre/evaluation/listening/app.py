"""The pages of a listening test and what they ask for: a Starlette app.

Everything is behind a token in the path: the invitation's, a participant's own, or the owner's. Pages are files that
never change; what people typed reaches them as JSON and is shown as text. The order of things is the participant's
secret: the page knows places (A, B, C), never conditions.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import InputError
from . import sequence
from .chart import figure
from .plan import ANSWERS, Plan, read_links, read_plan
from .results import judge, plain
from .sequence import Page
from .store import Answer, Invitation, Participant, Store

WEB = Path(__file__).parent / "web"
FILES = {"listen.css": "text/css", "listen.js": "text/javascript", "player.js": "text/javascript",
         "owner.js": "text/javascript"}  # fmt: skip
MOST_BODY = 16_384  # bytes; an answer has some hundred
NAME, COMMENT = 80, 1_000  # characters kept of what is typed in
COOKIE = "nacre_participant"
MONTH = 30 * 86_400  # seconds that a browser remembers who it is
PRACTICE = "practice"
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",  # links hold tokens
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "x-robots-tag": "noindex",
}


class _Headers:
    """Puts HEADERS on every response, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, guarded)


def create_app(folder: Path) -> Starlette:
    """The app of one test folder."""
    return Booth(folder).app


class Booth:
    """One test being taken: its plan, its links, its answers."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.plan, self.links = folder, read_plan(folder), read_links(folder)
        self.store = Store(folder / ANSWERS)
        # browsers keep cookies by machine, not by port: two tests on one must not forget each other's listeners
        self.cookie = f"{COOKIE}_{hashlib.sha256(self.links['invitation'].encode()).hexdigest()[:12]}"
        own, owner = "/api/take/{token}", "/api/owner/{token}"
        self.app = Starlette(
            routes=[
                Route("/", _lost),
                Route("/web/{name}", _web),
                Route("/join/{token}", self.join_page),
                Route("/take/{token}", self.take_page),
                Route("/owner/{token}", self.owner_page),
                Route("/api/join/{token}", self.invitation),
                Route("/api/join/{token}", self.join, methods=["POST"]),
                Route(own, self.progress),
                Route(own + "/practised", self.practised, methods=["POST"]),
                Route(own + "/answers/{page}", self.answer, methods=["POST"]),
                Route(own + "/sound/{page}/{place:int}", self.sound),
                Route(owner, self.results),
                Route(owner + "/figure.svg", self.figure),
                Route(owner + "/answers.csv", self.table),
            ],
            middleware=[Middleware(_Headers)],
            exception_handlers={HTTPException: _told, InputError: _refused},
        )

    async def join_page(self, request: Request) -> Response:
        """The door: who was here before goes on where they were."""
        personal = await self._invited(request)
        if personal is not None and personal.participant is not None:
            known = await run_in_threadpool(self.store.accept, personal.token)
            return RedirectResponse(f"/take/{known.token}", 303)
        token = "" if personal else request.cookies.get(self.cookie, "")
        who = await run_in_threadpool(self.store.find, token)
        if who is not None:
            return RedirectResponse(f"/take/{token}", 303)
        return _page("listen.html")

    async def take_page(self, request: Request) -> Response:
        """The test itself."""
        await self._participant(request)
        return _page("listen.html")

    async def owner_page(self, request: Request) -> Response:
        """Progress and results."""
        self._check(request, "owner")
        return _page("owner.html")

    async def invitation(self, request: Request) -> Response:
        """What one is invited to, and as whom."""
        personal = await self._invited(request)
        name = personal.name if personal else ""
        return JSONResponse({**self._about(), "consent": self.plan.consent, "name": name})

    async def join(self, request: Request) -> Response:
        """Take someone in who consented."""
        personal = await self._invited(request)
        said = await _body(request)
        name = personal.name if personal else _typed(said.get("name"), NAME)
        if said.get("consent") is not True or not name:
            raise InputError("a name, or a nickname, and consent are needed to begin")
        if personal:
            who = await run_in_threadpool(self.store.accept, personal.token)
        else:
            who = await run_in_threadpool(self.store.join, name)
        response = JSONResponse({"take": f"/take/{who.token}"}, 201)
        response.set_cookie(
            self.cookie, who.token, max_age=MONTH, httponly=True, samesite="lax", secure=request.url.scheme == "https"
        )
        return response

    async def progress(self, request: Request) -> Response:
        """How far this participant is, and the pages in their order."""
        who = await self._participant(request)
        done = await run_in_threadpool(self.store.answered, who.id)
        pages = [{"stimuli": len(page.order), "answered": page.trial in done} for page in self._pages(who)]
        first = sequence.practice(self.plan, who.seed)
        practice = {"stimuli": len(first.order), "answered": who.practised or bool(done)}
        return JSONResponse({**self._about(), "name": who.name, "practice": practice, "pages": pages})

    async def practised(self, request: Request) -> Response:
        """The practice page is done."""
        who = await self._participant(request)
        await run_in_threadpool(self.store.practised, who.id)
        return JSONResponse({})

    async def answer(self, request: Request) -> Response:
        """An answer: on the disk first, acknowledged then."""
        who = await self._participant(request)
        page = self._find(who, request, practice=False)
        said = await _body(request)
        seconds = said.get("seconds")
        took = float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 86_400 else 0.0
        judged = sequence.judged(self.plan, page, said.get("answer"))
        answer = Answer(who.id, page.trial, judged, _typed(said.get("comment"), COMMENT), took)
        return JSONResponse({"new": await run_in_threadpool(self.store.keep, answer)}, 201)

    async def sound(self, request: Request) -> Response:
        """What is behind A, B, C ... or the reference; in ranges, if asked so."""
        who = await self._participant(request)
        page, place = self._find(who, request), request.path_params["place"]
        if place >= len(page.sounds):
            raise HTTPException(404)
        return FileResponse(self.folder / page.sounds[place], media_type="audio/wav")

    async def results(self, request: Request) -> Response:
        """All figures, as `nacre listen results --json` prints them."""
        self._check(request, "owner")
        judged = await run_in_threadpool(self._judge)
        personal = await run_in_threadpool(self.store.invitations)
        shown = {
            **asdict(judged),
            "trials": len(self.plan.trials()),
            "invitation": f"/join/{self.links['invitation']}",
            "invited": [[each.name, f"/join/{each.token}", each.participant is not None] for each in personal],
        }
        return Response(json.dumps(plain(shown)), media_type="application/json")

    async def figure(self, request: Request) -> Response:
        """The figure."""
        self._check(request, "owner")
        drawn = await run_in_threadpool(lambda: figure(self._judge()))
        return Response(drawn, media_type="image/svg+xml")

    async def table(self, request: Request) -> Response:
        """Every judgement, a line each."""
        self._check(request, "owner")
        text = await run_in_threadpool(lambda: answers_csv(self.plan, self.store))
        head = {"content-disposition": 'attachment; filename="answers.csv"'}
        return Response(text, media_type="text/csv", headers=head)

    def _judge(self) -> Any:
        return judge(self.plan, self.store.participants(), self.store.answers())

    def _about(self) -> dict[str, Any]:
        return {"title": self.plan.title, "kind": self.plan.kind, "trials": len(self.plan.trials())}

    def _check(self, request: Request, link: str) -> None:
        if not self._is(request, link):
            raise HTTPException(404)

    def _is(self, request: Request, link: str) -> bool:
        came = request.path_params["token"].encode()
        return secrets.compare_digest(came, self.links[link].encode())

    async def _invited(self, request: Request) -> Invitation | None:
        """The personal invitation that came, None for the one for all."""
        if self._is(request, "invitation"):
            return None
        token = request.path_params["token"]
        personal = await run_in_threadpool(self.store.invitation, token) if token.isascii() else None
        if personal is None:
            raise HTTPException(404)
        return personal

    async def _participant(self, request: Request) -> Participant:
        who = await run_in_threadpool(self.store.find, request.path_params["token"])
        if who is None:
            raise HTTPException(404)
        return who

    def _pages(self, who: Participant) -> list[Page]:
        return sequence.pages(self.plan, who.seed)

    def _find(self, who: Participant, request: Request, practice: bool = True) -> Page:
        name, pages = request.path_params["page"], self._pages(who)
        if practice and name == PRACTICE:
            return sequence.practice(self.plan, who.seed)
        if not (name.isascii() and name.isdigit() and len(name) < 6 and int(name) < len(pages)):
            raise HTTPException(404)
        return pages[int(name)]


def answers_csv(plan: Plan, store: Store) -> str:
    """Every judgement, a line each; words that a spreadsheet would take for a formula get an apostrophe before them."""
    names, trials = {who.id: who.name for who in store.participants()}, plan.trials()
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("participant", "name", "trial", "item", "condition", "judged", "seconds", "comment"))
    for each in store.answers():
        item = trials[each.trial].item.name
        for condition, score in each.judged.items():
            words = [_harmless(word) for word in (names[each.participant], item, condition, each.comment)]
            row = (each.participant, words[0], each.trial, words[1], words[2], f"{score:g}", f"{each.seconds:.1f}")
            lines.writerow((*row, words[3]))
    return text.getvalue()


def _harmless(word: str) -> str:
    return f"'{word}" if word[:1] in ("=", "+", "-", "@") else word


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object that came, if it is one of sensible size."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "expected application/json")  # a form of another site cannot send it unasked
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > MOST_BODY:
            raise HTTPException(413, f"expected at most {MOST_BODY} bytes")
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "expected JSON") from error
    if not isinstance(said, dict):
        raise HTTPException(400, "expected a JSON object")
    return said


def _typed(text: Any, most: int) -> str:
    """What someone typed, as one line of at most so many characters without control characters."""
    words = text if isinstance(text, str) else ""
    return " ".join("".join(c if c.isprintable() else " " for c in words[: 4 * most]).split())[:most]


def _page(name: str) -> Response:
    return FileResponse(WEB / name, media_type="text/html")


async def _web(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in FILES:
        raise HTTPException(404)
    return FileResponse(WEB / name, media_type=FILES[name])


async def _lost(request: Request) -> Response:
    return PlainTextResponse("A listening test. Please open the link that you were given.\n")


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = "nothing here; please check the link" if error.status_code == 404 else error.detail
    return JSONResponse({"error": words}, error.status_code)


async def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 422)
