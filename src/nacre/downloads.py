"""Files from elsewhere, once: fetched with HTTP ranges so that a cut download goes on, checked, whole or not there.

Only the standard library. What is on its way lies beside its target as `NAME.part` (with `NAME.part.json`, which says
whose bytes these are) and takes its name when size and hash are right; two processes wait for each other.
"""

from __future__ import annotations

import fnmatch
import hashlib
import http.client
import json
import os
import shutil
import ssl
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from . import __version__
from .atomic import WholeFile
from .errors import DamagedError, InputError, MissingError

MIRROR = "NACRE_MIRROR"  # environment: an address that stands before `host/path` of every address
CACHE = "NACRE_CACHE"  # environment: the folder for what was downloaded
CHUNK = 1 << 16  # bytes
PROGRESS = 1 << 20  # bytes that make a try worth another round of tries
PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers that may be others in a moment
GONE = {404: "it is not there", 410: "it is not there any more", 401: "it asks for a login", 403: "it is not given out"}
Report = Callable[[int, int | None], None]  # bytes done, bytes in all when known


@dataclass(frozen=True)
class Remote:
    """A file that can be fetched; size and hash only where somebody published them."""

    address: str
    size: int | None = None  # bytes
    sha256: str = ""  # hex digits; the first ones where no more is known

    @property
    def name(self) -> str:
        """What the file is called."""
        return urlsplit(self.address).path.rpartition("/")[2]


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how often to ask again when nothing new came."""

    stall: float = 30.0  # seconds
    tries: int = 5
    pause: float = 1.0  # seconds before the second try; twice as long before each further one


PATIENCE = Patience()


class _PassingError(Exception):
    """Something that may go better at the next try; the words end a sentence that begins with the host."""


def cache_folder() -> Path:
    """Where downloads go: `NACRE_CACHE`, or `nacre` in the user's cache as the system has it."""
    if os.environ.get(CACHE):
        return Path(os.environ[CACHE]).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "nacre"


def mirrored(address: str) -> str:
    """`address` as it is fetched: `https://host/path`, or `$NACRE_MIRROR/host/path` where that is set."""
    base = os.environ.get(MIRROR, "").rstrip("/")
    address = f"{base}/{address.partition('://')[2]}" if base else address
    try:
        scheme = urlsplit(address).scheme
    except ValueError:  # as of "http://[::1"
        scheme = ""
    if scheme not in ("http", "https"):
        raise InputError(f"only http and https addresses are fetched, got {address!r}; correct {MIRROR}")
    return address


def fetch(remote: Remote, target: str | Path, report: Report | None = None, patience: Patience = PATIENCE) -> Path:
    """`remote` as the file `target`, downloaded unless it is there already; nothing else is ever under that name."""
    target = Path(target)
    if target.is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if not target.is_file():  # another process may have brought it while we waited
                _bring(remote, target, report, patience)
    except OSError as error:
        raise InputError(
            f"{target} cannot be written: {error.strerror or error}; free its disk, or set {CACHE}"
        ) from error
    return target


def unpack(archive: Path, member: str, target: Path) -> Path:
    """One `member` of a zip archive as the file `target`, unless it is there already; `*` stands for any number."""
    if target.is_file():
        return target
    whole = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        whole = WholeFile(target, overwrite=True)
        with zipfile.ZipFile(archive) as held:
            found = fnmatch.filter(held.namelist(), member)
            if not found:
                raise DamagedError(f"{archive} holds no {member}; remove it to download it again")
            with held.open(max(found, key=lambda name: (len(name), name))) as source:  # the most steps
                shutil.copyfileobj(source, whole.open())
        whole.keep()
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise DamagedError(f"{archive} is no zip archive that can be read: {error}; remove it to try again") from error
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        if whole is not None:
            whole.drop()
    return target


def _bring(remote: Remote, target: Path, report: Report | None, patience: Patience) -> None:
    part, left, pause = _Part(target, remote), patience.tries, patience.pause
    while True:
        before = part.size
        try:
            stated = _try(remote, part, report, patience.stall)
            break
        except _PassingError as error:
            came = part.size >= before + PROGRESS
            left, pause = (patience.tries, patience.pause) if came else (left - 1, pause)
            if left <= 0:
                kept = f"; {_megabytes(part.size)} came and are kept: try again to go on" if part.size else ""
                raise MissingError(f"{_host(remote)} {error}{kept}") from error
            time.sleep(pause)
            pause *= 2
    part.check(remote, stated)
    os.replace(part.path, target)
    part.drop()


def _try(remote: Remote, part: _Part, report: Report | None, stall: float) -> str:
    """Fetch what is missing; returns the SHA-256 that the server states for the file, or nothing."""
    start = part.size
    if start and start == part.total:
        return part.stated  # all came, and then somebody stopped us
    headers = {"User-Agent": f"nacre/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": part.validator} if part.validator else {})
    redirects = _Redirects()
    try:
        with build_opener(redirects).open(Request(mirrored(remote.address), headers=headers), timeout=stall) as answer:
            if answer.headers.get_content_type() == "text/html":
                raise MissingError(f"{_host(remote)} answered with a web page instead of {remote.name}")
            begin, total = _range(answer, start)
            _check_size(remote, total)
            part.begin(begin, total, answer.headers, redirects.sha256)
            part.fill(answer, report)
    except HTTPError as error:
        _explain(error, remote, part)
    except (OSError, http.client.HTTPException) as error:
        _explain_network(error, remote, stall)
    if part.total is not None and part.size != part.total:
        raise _PassingError(f"sent {_megabytes(part.size)} of {_megabytes(part.total)} and hung up")
    return part.stated


def _range(answer: Any, start: int) -> tuple[int, int | None]:
    """Where the bytes of an answer begin, and how long the whole file is."""
    length = answer.headers.get("Content-Length")
    if answer.status == 206:
        place, _, total = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if place.startswith(f"{start}-"):
            return start, int(total) if total.isdecimal() else None
        raise _PassingError(f"was asked for bytes from {start} on and sent {place or 'others'}")
    return 0, int(length) if length and length.isdecimal() else None


def _check_size(remote: Remote, total: int | None) -> None:
    if None not in (remote.size, total) and total != remote.size:
        raise DamagedError(
            f"{remote.name} should have {remote.size} bytes, {_host(remote)} has one of {total}; it is another file"
        )


def _explain(error: HTTPError, remote: Remote, part: _Part) -> None:
    error.close()
    if error.code == 416:  # what we have is no beginning of that file
        part.drop()
        raise _PassingError("has another file than the one that was begun") from error
    if error.code in PASSING:
        raise _PassingError(f"cannot give {remote.name} now (HTTP {error.code})") from error
    why = GONE.get(error.code, error.reason)
    raise MissingError(f"{_host(remote)} does not give {remote.name}: {why} (HTTP {error.code})") from error


def _explain_network(error: Exception, remote: Remote, stall: float) -> None:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        raise _PassingError(f"sent nothing for {stall:g} s") from error
    broken = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, http.client.HTTPException)
    if isinstance(reason, broken) or (isinstance(reason, ssl.SSLError) and error is reason):
        raise _PassingError("broke the connection off") from error
    if isinstance(error, URLError):
        raise MissingError(f"{_host(remote)} cannot be reached ({reason})") from error
    raise error  # of our own disk


class _Part:
    """The bytes of a file that is on its way, and whose they are."""

    def __init__(self, target: Path, remote: Remote) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._about = target.with_name(f"{target.name}.part.json")
        self.address, self.known = remote.address, bool(remote.sha256)
        self.total: int | None = None  # bytes
        self.validator = self.stated = ""
        try:
            about = json.loads(self._about.read_text("utf-8"))
            ours = about["address"] == self.address and (about["validator"] or self.known)
            self.total, self.validator, self.stated = about["total"], about["validator"], about["stated"]
        except (OSError, ValueError, KeyError, TypeError):
            ours = False
        if not ours:
            self.drop()

    @property
    def size(self) -> int:
        """Bytes that are here."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def begin(self, start: int, total: int | None, headers: http.client.HTTPMessage, stated: str) -> None:
        """Keep the first `start` bytes; `total` are to come, from the file that `headers` tell of."""
        etag = headers.get("ETag", "")
        self.validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
        self.total, self.stated = total, stated or self.stated
        free = shutil.disk_usage(self.path.parent).free
        if total is not None and free < total - start:
            raise InputError(
                f"{_megabytes(total - start)} are to come and {self.path.parent} has {_megabytes(free)} free"
            )
        fields = {key: getattr(self, key) for key in ("address", "total", "validator", "stated")}
        self._about.write_text(json.dumps(fields), "utf-8")
        with self.path.open("ab") as file:
            file.truncate(start)

    def fill(self, answer: Any, report: Report | None) -> None:
        """Add the bytes of `answer` as they come."""
        done = self.size
        with self.path.open("ab") as file:
            while chunk := answer.read1(CHUNK):
                file.write(chunk)
                done += len(chunk)
                if report:
                    report(done, self.total)

    def check(self, remote: Remote, stated: str) -> None:
        """An error when these are not the bytes of `remote`; they are removed then."""
        with self.path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        wrong = ""
        if remote.size not in (None, self.size):
            wrong = f"{self.size} bytes instead of {remote.size}"
        for sha256 in (remote.sha256, stated):
            if not found.startswith(sha256):
                wrong = f"SHA-256 {found[: len(sha256)]} instead of {sha256}"
        if wrong:
            self.drop()
            raise DamagedError(f"{remote.name} from {_host(remote)} has {wrong}; it was removed, so try again")

    def drop(self) -> None:
        """Remove what came."""
        self.total, self.validator, self.stated = None, "", ""
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)


class _Redirects(HTTPRedirectHandler):
    """Follows redirects, never from https to http, and hears what Hugging Face says of a file on the way."""

    def __init__(self) -> None:
        self.sha256 = ""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> Request | None:
        linked = headers.get("X-Linked-ETag", "").strip('"').lower()  # of files in Git LFS: their SHA-256
        if len(linked) == 64 and set(linked) <= set("0123456789abcdef"):
            self.sha256 = linked
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise URLError(f"it sends us on to an address that is not safe, {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Bar:
    """One line on standard error while bytes come, only where that is a terminal."""

    def __init__(self, name: str) -> None:
        self._name, self._shown = name, sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._first: tuple[float, int] | None = None
        self._drawn = 0.0

    def __call__(self, done: int, total: int | None) -> None:
        """So many bytes have come."""
        now = time.monotonic()
        self._first = self._first or (now, done)
        if self._shown and (now - self._drawn >= 0.1 or done == total):
            self._drawn = now
            self._write(self.line(done, total, now - self._first[0]))

    def line(self, done: int, total: int | None, seconds: float) -> str:
        """What the line says, `seconds` after it began."""
        speed = (done - self._first[1]) / seconds if self._first and seconds > 0 else 0.0
        rate = f"  {speed / 1e6:.1f} MB/s" if speed else ""
        if not total:
            return f"{self._name}  {_megabytes(done)}{rate}"
        full = 24 * done // total
        share = f"[{'#' * full}{'.' * (24 - full)}] {done / total:4.0%}"
        return f"{self._name}  {share}  {done / 1e6:.1f} of {_megabytes(total)}{rate}"

    def close(self) -> None:
        """Take the line away."""
        if self._shown:
            self._write("")

    def _write(self, text: str) -> None:
        sys.stderr.write(f"\r{text[: shutil.get_terminal_size().columns - 1]}\x1b[K")
        sys.stderr.flush()


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Only one process or thread at a time is in here with one `target`; the others wait."""
    path = target.with_name(f".{target.name}.lock")
    while True:
        file = path.open("ab")
        try:
            while not _lock(file):
                time.sleep(0.05)
            if _same(file, path):
                break
        except BaseException:
            file.close()
            raise
        file.close()  # who held it before removed it; take the next one
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps a file that is open
            path.unlink()
        file.close()


def _lock(file: BinaryIO) -> bool:
    """Take the lock on `file`, which the system gives back when the process ends; False when another has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the second is Windows' word for the first
        return False
    return True


def _same(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _host(remote: Remote) -> str:
    return urlsplit(mirrored(remote.address)).netloc


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 50_000 else f"{count} bytes"
