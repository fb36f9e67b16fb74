"""Downloads from a server in this process: whole, cut, continued, changed, wrong."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import vf.fetch
from vf.errors import CheckpointError
from vf.fetch import cache_folder, digest_in, fetch, shown

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves ``content`` under every path but /missing; the attributes say how it behaves."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.headers: dict[str, str] = {"ETag": '"one"'}
        self.ranges = True
        self.cuts: list[int] = []
        """After how many bytes to hang up, one number a request."""
        self.statuses: list[int] = []
        """Errors to answer with first."""
        self.seen: list[tuple[str | None, str | None]] = []
        """Range and If-Range of each request."""

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers["Range"]
        server.seen.append((wanted, self.headers["If-Range"]))
        status = server.statuses.pop(0) if server.statuses else 404 if self.path.startswith("/missing") else 200
        if status != 200:
            self.send_error(status)
            return
        same = self.headers["If-Range"] in (None, server.headers.get("ETag"), server.headers.get("Last-Modified"))
        start = int(wanted[6:-1]) if wanted and server.ranges and same else 0
        if start >= len(server.content):
            self.send_error(416)
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        for key, value in {"Content-Length": str(len(body)), **server.headers}.items():
            if value:
                self.send_header(key, value)
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else len(body)
        self.wfile.write(body[:cut])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(vf.fetch, "PAUSE", 0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def refused(url: str, cache: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        fetch(url, cache=cache)
    assert len(error.value.problems) == 1
    return error.value.problems[0]


def left(cache: Path) -> list[str]:
    """Return what lies in the cache, without the lock and the hash in front."""
    return sorted(p.name[9:] for p in (cache / "downloads").iterdir() if p.suffix != ".lock")


def test_a_file_comes_once_and_stays(server: Server, tmp_path: Path) -> None:
    lines: list[str] = []
    path = fetch(server.url("net.pth"), cache=tmp_path, tell=lines.append)
    assert path.read_bytes() == CONTENT
    assert re.fullmatch(r"[0-9a-f]{8}-net\.pth", path.name)
    assert lines == [f"fetching {server.url('net.pth')}, 0.0 MB", f"fetched {server.url('net.pth')} to {path}"]
    assert fetch(server.url("net.pth"), cache=tmp_path) == path
    assert len(server.seen) == 1
    assert left(tmp_path) == ["net.pth"]


def test_the_same_name_of_two_addresses_is_two_files(server: Server, tmp_path: Path) -> None:
    first, second = (fetch(server.url(f"{folder}/net.pth"), cache=tmp_path) for folder in "ab")
    assert first != second


def test_a_name_stays_in_the_folder(server: Server, tmp_path: Path) -> None:
    path = fetch(server.url("a/..%2F..%2Fevil%20name?x=1"), cache=tmp_path)
    assert path.parent == tmp_path / "downloads"
    assert path.name[9:] == "evil_name"
    assert fetch(server.url(""), cache=tmp_path).name[9:] == "download"


def test_progress_is_told_in_tenths(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vf.fetch, "CHUNK", len(CONTENT) // 4)
    lines: list[str] = []
    fetch(server.url("net.pth"), cache=tmp_path, tell=lines.append)
    assert lines[1:-1] == ["  25 % of 0.0 MB", "  50 % of 0.0 MB", "  75 % of 0.0 MB"]


@pytest.mark.parametrize("headers", [{"ETag": '"one"'}, {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}])
def test_a_cut_connection_is_continued(server: Server, tmp_path: Path, headers: dict[str, str]) -> None:
    server.headers, server.cuts = headers, [1000, 2000]
    assert fetch(server.url("net.pth"), cache=tmp_path).read_bytes() == CONTENT
    (validator,) = headers.values()
    assert server.seen == [(None, None), ("bytes=1000-", validator), ("bytes=3000-", validator)]


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_what_cannot_be_recognised_is_fetched_anew(server: Server, tmp_path: Path, headers: dict[str, str]) -> None:
    server.headers, server.cuts = headers, [1000]
    assert fetch(server.url("net.pth"), cache=tmp_path).read_bytes() == CONTENT
    assert server.seen == [(None, None), (None, None)]


def test_a_hash_in_the_name_recognises_it_too(server: Server, tmp_path: Path) -> None:
    server.headers, server.cuts = {}, [1000]
    assert fetch(server.url(f"net-{DIGEST[:8]}.pth"), cache=tmp_path).read_bytes() == CONTENT
    assert server.seen == [(None, None), ("bytes=1000-", None)]


def test_a_server_without_ranges_sends_everything_again(server: Server, tmp_path: Path) -> None:
    server.ranges, server.cuts = False, [1000]
    assert fetch(server.url("net.pth"), cache=tmp_path).read_bytes() == CONTENT
    assert len(server.seen) == 2


def test_a_later_command_continues_and_gives_up_in_one_line(server: Server, tmp_path: Path) -> None:
    server.cuts = [10, 10, 10, 10]
    sentence = "connection cut after 40 of 10240 bytes, after 4 tries; the same command goes on from there"
    assert refused(server.url("net.pth"), tmp_path) == f"{server.url('net.pth')}: {sentence}"
    assert left(tmp_path) == ["net.pth.part", "net.pth.part.json"]
    assert fetch(server.url("net.pth"), cache=tmp_path).read_bytes() == CONTENT
    assert server.seen[-1] == ("bytes=40-", '"one"')
    assert left(tmp_path) == ["net.pth"]


def test_what_cannot_be_continued_says_so(server: Server, tmp_path: Path) -> None:
    server.headers, server.cuts = {}, [10, 10, 10, 10]
    assert refused(server.url("net.pth"), tmp_path).endswith(" after 4 tries; try again later")


def begun(server: Server, cache: Path) -> None:
    server.cuts = [100, 100, 100, 100]
    refused(server.url("net.pth"), cache)


def test_a_file_that_changed_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    begun(server, tmp_path)
    server.content, server.headers = b"new" * 9999, {"ETag": '"two"'}
    assert fetch(server.url("net.pth"), cache=tmp_path).read_bytes() == server.content


def test_a_file_that_became_shorter_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    begun(server, tmp_path)
    server.content = b"short"
    assert fetch(server.url("net.pth"), cache=tmp_path).read_bytes() == b"short"
    assert server.seen[-2:] == [("bytes=400-", '"one"'), (None, None)]


def test_a_rest_of_another_length_is_not_taken(server: Server, tmp_path: Path) -> None:
    begun(server, tmp_path)
    server.content = CONTENT + b"more"
    assert fetch(server.url("net.pth"), cache=tmp_path).read_bytes() == server.content
    assert server.seen[-2:] == [("bytes=400-", '"one"'), (None, None)]


@pytest.mark.parametrize("facts", ["{", "{}", '{"validator": "\\"one\\"", "total": 5}'])
def test_a_partial_file_with_broken_facts_is_fetched_anew(server: Server, tmp_path: Path, facts: str) -> None:
    begun(server, tmp_path)
    next((tmp_path / "downloads").glob("*.part.json")).write_text(facts)
    assert fetch(server.url("net.pth"), cache=tmp_path).read_bytes() == CONTENT


def test_a_partial_file_that_is_whole_needs_no_request(server: Server, tmp_path: Path) -> None:
    begun(server, tmp_path)
    next((tmp_path / "downloads").glob("*.part")).write_bytes(CONTENT)
    count = len(server.seen)
    assert fetch(server.url("net.pth"), cache=tmp_path).read_bytes() == CONTENT
    assert len(server.seen) == count


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    assert fetch(server.url("net.pth"), cache=tmp_path).read_bytes() == CONTENT
    server.statuses = [503] * 4
    sentence = "HTTP 503 Service Unavailable, after 4 tries; try again later"
    assert refused(server.url("other.pth"), tmp_path) == f"{server.url('other.pth')}: {sentence}"


@pytest.mark.parametrize("digits", [8, 64])
def test_a_wrong_hash_is_refused_and_deleted(server: Server, tmp_path: Path, digits: int) -> None:
    url = server.url(f"net-{'0' * digits}.pth")
    assert refused(url, tmp_path) == (
        f"{url}: expected sha256 {'0' * digits} as its name says, got {DIGEST[:digits]}; "
        "the download is deleted; try again, or fetch the file yourself"
    )
    assert left(tmp_path) == []


def test_what_is_missing_is_one_line_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    url = server.url("missing/net.pth")
    sentence = f"{url}: HTTP 404 Not Found; check the address, or fetch the file yourself"
    assert refused(f"{url}?token=secret", tmp_path) == sentence
    assert left(tmp_path) == []


def test_hosts_that_do_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1,nowhere.invalid")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/net.pth"
        sentence = "127.0.0.1 refuses the connection; check the address and its port"
        assert refused(url, tmp_path) == f"{url}: {sentence}"

    def unknown(*args: object, **options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    url = "http://nowhere.invalid/net.pth"
    assert refused(url, tmp_path) == f"{url}: no such host 'nowhere.invalid', or no network; check the address"


def test_a_server_that_says_nothing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = threading.Event()
    monkeypatch.setattr(vf.fetch, "TIMEOUT", 0.05)
    monkeypatch.setattr(Handler, "do_GET", lambda self: given_up.wait(60))
    url = server.url("net.pth")
    try:
        assert refused(url, tmp_path) == f"{url}: no answer within 0.05 s, after 4 tries; try again later"
    finally:
        given_up.set()


def test_a_redirection_does_not_leave_http(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(self: Handler) -> None:
        self.send_response(302)
        self.send_header("Location", "ftp://127.0.0.1/net.pth")
        self.send_header("Content-Length", "0")
        self.end_headers()

    monkeypatch.setattr(Handler, "do_GET", elsewhere)
    url = server.url("net.pth")
    assert refused(url, tmp_path) == f"{url}: cannot be fetched: unknown url type: ftp; check the address"


@pytest.mark.parametrize("url", ["http://", "http://[x/net.pth", "ftp://host/net.pth"])
def test_addresses_that_are_none(url: str, tmp_path: Path) -> None:
    sentence = f"{url}: not a usable address; expected one like https://host/path/name.pth"
    assert refused(url, tmp_path) == sentence


def test_a_cache_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    problem = refused(server.url("net.pth"), tmp_path / "file")
    assert problem.endswith("-net.pth: cannot write the download: Not a directory; set VF_CACHE to another folder")


def test_two_at_once_fetch_once(server: Server, tmp_path: Path) -> None:
    found: list[Path] = []
    url = server.url("net.pth")
    threads = [threading.Thread(target=lambda: found.append(fetch(url, cache=tmp_path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() for path in found] == [CONTENT] * 4
    assert len(server.seen) == 1


def test_who_waits_says_so(server: Server, tmp_path: Path) -> None:
    final = fetch(server.url("net.pth"), cache=tmp_path)
    final.unlink()
    release = threading.Event()
    held = threading.Event()
    lines: list[str] = []

    def hold() -> None:
        with vf.fetch.alone(final, lines.append):
            held.set()
            release.wait(60)

    def say(line: str) -> None:
        lines.append(line)
        release.set()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    fetch(server.url("net.pth"), cache=tmp_path, tell=say)
    thread.join()
    assert lines[0] == f"waiting for another process that downloads {final.name}"


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VF_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    monkeypatch.setenv("HOME", "/c")
    assert cache_folder() == Path("/a")
    monkeypatch.delenv("VF_CACHE")
    assert cache_folder() == Path("/b/vf")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == Path("/c/.cache/vf")


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("resnet20-12fca82f.pth", "12fca82f"),
        ("net-12FCA82F.pth", "12fca82f"),
        (f"{DIGEST}.bin", DIGEST),
        (f"net_{DIGEST}_v2", DIGEST),
        ("net-20240131.pth", ""),
        ("net-12fca8.pth", ""),
        ("net_12fca82f.pth", ""),
        ("net.pth", ""),
    ],
)
def test_hashes_in_names(name: str, digest: str) -> None:
    assert digest_in(name) == digest


def test_secrets_of_an_address_are_not_shown() -> None:
    assert shown("https://me:word@host:8/a/b.pth?token=x#y") == "https://host:8/a/b.pth"


def test_facts_lie_beside_the_partial_file(server: Server, tmp_path: Path) -> None:
    begun(server, tmp_path)
    facts = next((tmp_path / "downloads").glob("*.part.json"))
    assert json.loads(facts.read_text()) == {"validator": '"one"', "total": len(CONTENT)}
