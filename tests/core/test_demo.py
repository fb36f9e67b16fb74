"""The demo: what it answers, and what it refuses."""

from __future__ import annotations

import io
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from werkzeug.test import Client

from vf.demo import app
from vf.demo.app import Demo, check_image
from vf.demo.serve import open_demo
from vf.errors import DataError, SetupError
from vf.protocols import DatasetInfo
from vf.results import Result

INFO = DatasetInfo(classes=("cat", "dog"), task="toy", num_samples={}, fingerprint="")
HERE = {"base_url": "http://127.0.0.1:8765"}


class Model:
    """Says that every image is a cat."""

    info, device = INFO, torch.device("cpu")

    def __call__(self, image: Any) -> Result:
        said = {"probabilities": torch.tensor([0.75, 0.25]), "label": torch.tensor(0)}
        return Result("", image, said, INFO)


def encoded(kind: str = "PNG", size: tuple[int, int] = (8, 6)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (9, 9, 9)).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def client() -> Client:
    return Client(Demo(Model(), name="<m>", hosts=("127.0.0.1", "localhost")))  # type: ignore[arg-type]


def asked(client: Client, data: bytes, query: str = "", **headers: str) -> tuple[int, dict[str, Any]]:
    answer = client.post(f"/predict{query}", data=data, headers=headers, **HERE)
    return answer.status_code, json.loads(answer.get_data())


def test_the_page_is_whole_and_asks_nobody_else(client: Client) -> None:
    answer = client.get("/", **HERE)
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert "<h1>&lt;m&gt;</h1>" in text
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("kind", app.KINDS)
def test_an_image_is_answered_with_what_is_said(client: Client, kind: str) -> None:
    code, answer = asked(client, encoded(kind), "?name=../a.png&threshold=0.5")
    assert code == 200
    assert answer["picture"].startswith("data:image/jpeg;base64,")
    assert answer["milliseconds"] >= 0
    assert answer["result"] == {
        "image": "../a.png",
        "width": 8,
        "height": 6,
        "classes": [{"class": "cat", "label": 0, "score": 0.75}, {"class": "dog", "label": 1, "score": 0.25}],
    }


@pytest.mark.parametrize(
    ("data", "query", "code", "line"),
    [
        (b"", "", 422, "image: is empty (0 bytes); expected an image"),
        (b"hello", "?name=a.txt", 422, f"a.txt: is not an image that is taken here: {', '.join(app.KINDS)}"),
        (b"/etc/passwd", "", 422, f"image: is not an image that is taken here: {', '.join(app.KINDS)}"),
        (encoded()[:-12], "", 422, "image: image is truncated: the PNG ends after 65 bytes without its end marker"),
        (encoded(), "?threshold=x", 400, "threshold: expected a number, got 'x'"),
        (encoded(), "?threshold=2", 400, "threshold: expected 0 to 1, got 2.0"),
        (encoded(), "?threshold=nan", 400, "threshold: expected 0 to 1, got nan"),
    ],
)
def test_what_is_wrong_is_one_line(client: Client, data: bytes, query: str, code: int, line: str) -> None:
    assert asked(client, data, query)[0] == code
    said = asked(client, data, query)[1]["error"]
    assert said.split(" after ")[0] == line.split(" after ")[0]


def test_other_sites_cannot_ask(client: Client) -> None:
    answer = client.get("/", base_url="http://evil.example")
    assert answer.status_code == 403
    assert json.loads(answer.get_data())["error"] == "this demo is not to be asked as 'evil.example'"
    code, said = asked(client, encoded(), Origin="http://evil.example")
    assert (code, said["error"]) == (403, "pages of http://evil.example may not ask this demo")
    assert asked(client, encoded(), Origin="http://127.0.0.1:8765")[0] == 200


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/predict"), ("GET", "/../etc/passwd"), ("POST", "/"), ("PUT", "/")]
)
def test_there_is_nothing_else(client: Client, method: str, path: str) -> None:
    assert client.open(path, method=method, **HERE).status_code == 404


def test_too_much_is_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MOST_BYTES", 1000)
    code, said = asked(client, bytes(1001))
    assert (code, said["error"]) == (413, "the image is too large: at most 0.0 MB are taken")
    with pytest.raises(DataError, match=r"a: has 12000×12000 pixels; at most 100 million pixels are taken$"):
        check_image(_claims(12_000), "a")
    with pytest.raises(DataError, match=r"a: has too many pixels; at most 100 million are taken$"):
        check_image(_claims(2**31 - 1), "a")


def _claims(side: int) -> bytes:
    """Return the head of a PNG of so many pixels, a few bytes that would take gigabytes."""
    import struct
    import zlib

    ihdr = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    idat = b"IDAT" + zlib.compress(b"")
    chunks = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (ihdr, idat, b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_one_image_at_a_time_and_a_few_wait() -> None:
    class Slow(Model):
        def __init__(self) -> None:
            self.began, self.go_on, self.inside, self.most = threading.Event(), threading.Event(), 0, 0

        def __call__(self, image: Any) -> Result:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.began.set()
            assert self.go_on.wait(20)
            self.inside -= 1
            return super().__call__(image)

    model = Slow()
    client = Client(Demo(model, name="m"))  # type: ignore[arg-type]
    codes: list[int] = []
    told: list[str] = []

    def ask() -> None:
        code, answer = asked(client, encoded())
        told.append(answer.get("error", ""))
        codes.append(code)

    threads = [threading.Thread(target=ask) for _ in range(app.WAITING + 3)]
    for thread in threads:
        thread.start()
    assert model.began.wait(20)
    for _ in range(2000):  # those for which there is no room come back at once
        if len(codes) == 3:
            break
        time.sleep(0.01)
    assert (codes, set(told)) == ([503] * 3, {"the model is busy with other images; try again"})
    model.go_on.set()
    for thread in threads:
        thread.join(20)
    assert (codes[3:], model.most) == ([200] * app.WAITING, 1)


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=rf"--port {port}: cannot listen there: .* in use; choose another --port$"):
            open_demo(str(tmp_path), port=port)
