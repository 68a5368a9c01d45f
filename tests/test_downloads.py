"""Downloads from a server on this machine: ranges, cuts, stalls, errors and hashes; whole files or none."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from http_files import Server, serving

from nacre import DamagedError, InputError, MissingError, downloads
from nacre.downloads import Bar, Patience, Remote, cache_folder, fetch, mirrored, unpack

DATA = bytes(range(256)) * 1024  # a quarter of a megabyte
HASH = hashlib.sha256(DATA).hexdigest()
QUICK = Patience(stall=20, tries=3, pause=0.01)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as server:
        yield server


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def get(server: Server, folder: Path, path: str = "/w.bin", size: int | None = None, sha256: str = "") -> Path:
    return fetch(Remote(server.address + path, size, sha256), folder / "w.bin", patience=QUICK)


def test_a_file_comes_once_whole_and_alone(server: Server, tmp_path: Path) -> None:
    file, seen = server.put("/w.bin", DATA), []
    target = fetch(
        Remote(f"{server.address}/w.bin", len(DATA), HASH), tmp_path / "a" / "w.bin", lambda *n: seen.append(n)
    )
    assert target.read_bytes() == DATA
    assert left(tmp_path / "a") == {"w.bin"}
    assert seen[-1] == (len(DATA), len(DATA)) and [n for n, _ in seen] == sorted(n for n, _ in seen)
    fetch(Remote(f"{server.address}/w.bin"), target)
    assert len(file.asked) == 1
    assert file.asked[0]["User-Agent"].startswith("nacre/") and "Range" not in file.asked[0]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_download_goes_on(server: Server, tmp_path: Path, ranges: bool) -> None:
    file = server.put("/w.bin", DATA, ranges=ranges, cuts=[100_000, 50_000])
    assert get(server, tmp_path).read_bytes() == DATA
    asked = [headers.get("Range") for headers in file.asked]
    assert asked == [None, "bytes=100000-", "bytes=150000-" if ranges else "bytes=50000-"]
    assert file.asked[1]["If-Range"] == file.tag
    assert left(tmp_path) == {"w.bin"}


def test_a_line_that_often_breaks_does_not_make_us_wait_longer_and_longer(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(downloads, "PROGRESS", 10_000)
    monkeypatch.setattr(downloads.time, "sleep", pauses.append)
    server.put("/w.bin", DATA, cuts=[20_000, 20_000, 1, 1, 20_000, 20_000])
    fetch(Remote(f"{server.address}/w.bin"), tmp_path / "w.bin", patience=Patience(tries=4, pause=1.0))
    assert (tmp_path / "w.bin").read_bytes() == DATA
    assert [pause for pause in pauses if pause] == [1.0, 1.0, 2.0, 4.0, 1.0, 1.0]


def test_a_later_call_goes_on_where_the_first_gave_up(server: Server, tmp_path: Path) -> None:
    file = server.put("/w.bin", DATA, cuts=[100_000, 1, 1, 1])
    with pytest.raises(MissingError, match=r"127.0.0.1:\d+ sent 0.1 MB of 0.3 MB and hung up; 0.1 MB came and"):
        get(server, tmp_path)
    assert left(tmp_path) == {"w.bin.part", "w.bin.part.json"}
    file.cuts.clear()
    assert get(server, tmp_path).read_bytes() == DATA
    assert file.asked[-1]["Range"].startswith("bytes=10000")
    assert left(tmp_path) == {"w.bin"}


def test_a_file_that_changed_meanwhile_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    server.put("/w.bin", DATA, cuts=[100_000, 1, 1])
    with pytest.raises(MissingError):
        get(server, tmp_path)
    server.put("/w.bin", DATA[::-1])
    assert get(server, tmp_path).read_bytes() == DATA[::-1]


def test_what_is_left_of_a_longer_file_is_dropped(server: Server, tmp_path: Path) -> None:
    server.put("/w.bin", DATA, cuts=[100_000, 1, 1])
    with pytest.raises(MissingError):
        get(server, tmp_path)
    server.put("/w.bin", b"short", etag=server.files["/w.bin"].tag)
    assert get(server, tmp_path).read_bytes() == b"short"


def test_without_an_etag_nothing_is_added_to_what_came(server: Server, tmp_path: Path) -> None:
    file = server.put("/w.bin", DATA, etag="", cuts=[100_000, 1, 1])
    with pytest.raises(MissingError):
        get(server, tmp_path)
    file.cuts.clear()
    assert get(server, tmp_path).read_bytes() == DATA
    assert "Range" not in file.asked[-1]


def test_all_bytes_are_here_and_only_the_name_is_missing(server: Server, tmp_path: Path) -> None:
    file = server.put("/w.bin", DATA)
    part = downloads._Part(tmp_path / "w.bin", Remote(f"{server.address}/w.bin"))
    part.begin(0, len(DATA), {"ETag": file.tag}, "")  # type: ignore[arg-type]
    part.path.write_bytes(DATA)
    assert get(server, tmp_path).read_bytes() == DATA
    assert file.asked == []


def test_a_stall_ends_in_another_try_and_then_in_a_sentence(server: Server, tmp_path: Path) -> None:
    file = server.put("/w.bin", DATA, cuts=[100_000], stall=30)
    remote, hasty = Remote(f"{server.address}/w.bin"), Patience(stall=0.5, tries=3, pause=0.01)
    began = time.monotonic()
    assert fetch(remote, tmp_path / "w.bin", patience=hasty).read_bytes() == DATA
    assert time.monotonic() - began < 20 and len(file.asked) >= 2
    (tmp_path / "w.bin").unlink()
    file.cuts = [10] * 9
    with pytest.raises(
        MissingError, match=r"sent nothing for 0.5 s; [1-3]0 bytes came and are kept: try again to go on"
    ):
        fetch(remote, tmp_path / "w.bin", patience=hasty)


def test_errors_that_pass_are_waited_for(server: Server, tmp_path: Path) -> None:
    file = server.put("/w.bin", DATA, statuses=[500, 503])
    assert get(server, tmp_path).read_bytes() == DATA
    assert len(file.asked) == 3


@pytest.mark.parametrize(
    ("status", "tries", "sentence"),
    [
        (404, 1, r"127.0.0.1:\d+ does not give w.bin: it is not there \(HTTP 404\)$"),
        (403, 1, r"does not give w.bin: it is not given out \(HTTP 403\)$"),
        (418, 1, r"does not give w.bin: I'm a Teapot \(HTTP 418\)$"),
        (500, 3, r"127.0.0.1:\d+ cannot give w.bin now \(HTTP 500\)$"),
    ],
)
def test_errors_that_stay_are_one_sentence(
    server: Server, tmp_path: Path, status: int, tries: int, sentence: str
) -> None:
    file = server.put("/w.bin", DATA, statuses=[status] * 9)
    with pytest.raises(MissingError, match=sentence):
        get(server, tmp_path)
    assert len(file.asked) == tries
    assert left(tmp_path) == set()


@pytest.mark.parametrize(
    ("size", "sha256", "sentence"),
    [
        (None, "00" + HASH[2:], f"w.bin from 127.0.0.1:.* has SHA-256 {HASH} instead of 00.*; it was removed"),
        (None, "d7cc33bc", f"has SHA-256 {HASH[:8]} instead of d7cc33bc"),
        (len(DATA) + 1, "", rf"should have {len(DATA) + 1} bytes, 127.0.0.1:\d+ has one of {len(DATA)}"),
    ],
)
def test_other_bytes_than_expected_are_not_kept(
    server: Server, tmp_path: Path, size: int | None, sha256: str, sentence: str
) -> None:
    server.put("/w.bin", DATA)
    with pytest.raises(DamagedError, match=sentence):
        get(server, tmp_path, size=size, sha256=sha256)
    assert left(tmp_path) == set()
    assert get(server, tmp_path, size=len(DATA), sha256=HASH[:8]).read_bytes() == DATA


def test_a_length_that_nobody_says_is_checked_at_the_end(server: Server, tmp_path: Path) -> None:
    server.put("/w.bin", DATA, length=False)
    with pytest.raises(DamagedError, match="bytes instead of 7"):
        get(server, tmp_path, size=7)
    assert left(tmp_path) == set()
    assert get(server, tmp_path).read_bytes() == DATA


def test_redirects_are_followed_and_their_hash_is_believed(server: Server, tmp_path: Path) -> None:
    server.put("/there.bin", DATA, cuts=[100_000])
    server.put("/w.bin", b"", redirect="/there.bin", headers={"X-Linked-ETag": f'"{HASH}"'})
    assert get(server, tmp_path).read_bytes() == DATA
    (tmp_path / "w.bin").unlink()
    server.files["/w.bin"].headers["X-Linked-ETag"] = f'"{"0" * 64}"'
    with pytest.raises(DamagedError, match=f"SHA-256 {HASH} instead of {'0' * 64}"):
        get(server, tmp_path)
    server.put("/w.bin", b"", redirect="/w.bin")
    with pytest.raises(MissingError, match=r"does not give w.bin: .*redirect"):
        get(server, tmp_path)
    assert left(tmp_path) == set()


def test_a_web_page_is_no_file(server: Server, tmp_path: Path) -> None:
    server.put("/w.bin", b"<html>please log in</html>", kind="text/html; charset=utf-8")
    with pytest.raises(MissingError, match=r"answered with a web page instead of w.bin$"):
        get(server, tmp_path)
    assert left(tmp_path) == set()


def test_without_a_network_a_sentence(tmp_path: Path) -> None:
    with serving() as server:
        address = server.address  # and then nobody listens there
    with pytest.raises(MissingError, match=r"127.0.0.1:\d+ cannot be reached \(.*refused.*\)$"):
        fetch(Remote(f"{address}/w.bin"), tmp_path / "w.bin", patience=QUICK)
    assert left(tmp_path) == set()


def test_a_full_disk_is_told_before(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.put("/w.bin", DATA)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"0.3 MB are to come and .* has 1000 bytes free"):
        get(server, tmp_path)


def test_a_place_that_cannot_be_written_is_told(server: Server, tmp_path: Path) -> None:
    server.put("/w.bin", DATA)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"w.bin cannot be written: .*; free its disk, or set NACRE_CACHE"):
        get(server, tmp_path / "file")


def test_many_threads_fetch_once(server: Server, tmp_path: Path) -> None:
    file = server.put("/w.bin", DATA, cuts=[100_000], stall=0.1)
    with ThreadPoolExecutor(8) as pool:
        targets = list(pool.map(lambda _: get(server, tmp_path), range(8)))
    assert {target.read_bytes() for target in targets} == {DATA}
    assert len(file.asked) == 2  # one of them, which was cut once
    assert left(tmp_path) == {"w.bin"}


def test_two_processes_fetch_once(server: Server, tmp_path: Path) -> None:
    file = server.put("/w.bin", DATA, cuts=[100_000], stall=0.5)
    code = (
        "import sys; from nacre.downloads import *; from pathlib import Path\n"
        f"fetch(Remote('{server.address}/w.bin'), Path(sys.argv[1]), patience=Patience(60, 3, 0.01))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "w.bin")]
    both = [subprocess.Popen(command) for _ in range(2)]
    try:
        assert [process.wait(100) for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
            process.wait()
    assert (tmp_path / "w.bin").read_bytes() == DATA
    assert len(file.asked) == 2
    assert left(tmp_path) == {"w.bin"}


def test_a_killed_process_leaves_what_came_and_no_lock(server: Server, tmp_path: Path) -> None:
    file = server.put("/w.bin", DATA, cuts=[100_000], stall=30)
    code = f"import sys; from nacre.downloads import *; fetch(Remote('{server.address}/w.bin'), sys.argv[1])"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "w.bin")])
    deadline = time.monotonic() + 60
    while not (tmp_path / "w.bin.part").is_file() or (tmp_path / "w.bin.part").stat().st_size < 60_000:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert get(server, tmp_path).read_bytes() == DATA
    assert file.asked[1]["Range"].startswith("bytes=")
    assert left(tmp_path) == {"w.bin"}


def test_members_of_an_archive_are_taken_by_name(tmp_path: Path) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for steps in (500, 90, 1000):
            archive.writestr(f"exp/checkpoint-{steps}steps.pkl", str(steps))
        archive.writestr("../evil", "evil")
    (tmp_path / "exp.zip").write_bytes(held.getvalue())
    target = unpack(tmp_path / "exp.zip", "exp/checkpoint-*steps.pkl", tmp_path / "out" / "c.pkl")
    assert target.read_text() == "1000"
    assert unpack(tmp_path / "exp.zip", "exp/checkpoint-90steps.pkl", tmp_path / "d.pkl").read_text() == "90"
    assert unpack(tmp_path / "none.zip", "whatever", target) == target
    with pytest.raises(DamagedError, match=r"exp.zip holds no exp/other.pkl; remove it"):
        unpack(tmp_path / "exp.zip", "exp/other.pkl", tmp_path / "e.pkl")
    (tmp_path / "exp.zip").write_bytes(held.getvalue()[:-30])
    with pytest.raises(DamagedError, match=r"exp.zip is no zip archive that can be read"):
        unpack(tmp_path / "exp.zip", "exp/other.pkl", tmp_path / "e.pkl")
    assert left(tmp_path) == {"exp.zip", "out", "d.pkl"}


def test_a_damaged_member_is_told(tmp_path: Path) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.pkl", bytes(range(256)) * 100)
    data = bytearray(held.getvalue())
    data[40:60] = b"\xff" * 20
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DamagedError, match=r"a.zip is no zip archive that can be read: Error -3"):
        unpack(tmp_path / "a.zip", "a.pkl", tmp_path / "a.pkl")
    assert left(tmp_path) == {"a.zip"}


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/nacre"),
        ("linux", {"HOME": "/h"}, "/h/.cache/nacre"),
        ("darwin", {"HOME": "/h"}, "/h/Library/Caches/nacre"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/nacre"),
        ("linux", {"NACRE_CACHE": "~/n", "HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/h/n"),
    ],
)
def test_the_cache_is_where_the_system_has_it(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], folder: str
) -> None:
    for name in ("NACRE_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == Path(folder)


def test_a_mirror_stands_before_host_and_path(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mirrored("https://a.org/b/c.bin") == "https://a.org/b/c.bin"
    monkeypatch.setenv("NACRE_MIRROR", "http://intranet:8080/models/")
    assert mirrored("https://a.org/b/c.bin") == "http://intranet:8080/models/a.org/b/c.bin"
    monkeypatch.setenv("NACRE_MIRROR", "/mnt/models")
    with pytest.raises(InputError, match=r"only http and https addresses are fetched, got '/mnt/models/a.org/b"):
        mirrored("https://a.org/b/c.bin")
    monkeypatch.setenv("NACRE_MIRROR", "http://[::1")
    with pytest.raises(InputError, match="only http and https"):
        mirrored("https://a.org/b/c.bin")


def test_from_a_safe_address_to_an_unsafe_one_nobody_is_sent() -> None:
    request = downloads.Request("https://a.org/b")
    with pytest.raises(OSError, match=r"an address that is not safe, http://a.org/c"):
        downloads._Redirects().redirect_request(request, io.BytesIO(), 302, "", {}, "http://a.org/c")  # type: ignore[arg-type]


def test_the_bar_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar("w.bin")
    bar(1_000_000, 4_000_000)
    assert capsys.readouterr().err == ""  # no terminal
    assert bar.line(3_000_000, 4_000_000, 2.0) == f"w.bin  [{'#' * 18}......]  75%  3.0 of 4.0 MB  1.0 MB/s"
    assert bar.line(3_000_000, None, 0.0) == "w.bin  3.0 MB"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    bar = Bar("w.bin")
    bar(4, 4)
    bar.close()
    assert capsys.readouterr().err == f"\rw.bin  [{'#' * 24}] 100%  0.0 of 4 bytes\x1b[K\r\x1b[K"
