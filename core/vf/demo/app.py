"""The demo as a WSGI application: one page, and one address that takes an image and gives what a model says of it."""

from __future__ import annotations

import io
import json
import threading
import time
import warnings
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from PIL import Image
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import SecurityError as StrangeHost
from werkzeug.wrappers import Request, Response

from vf import __version__
from vf.console import megabytes
from vf.data.decode import decode
from vf.errors import DataError, VFError
from vf.pages import page
from vf.predict import Predictor
from vf.results import THRESHOLD

MOST_BYTES = 32_000_000
"""Of an image as it is sent."""
MOST_PIXELS = 100_000_000
"""Of an image, decoded."""
KINDS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
WAITING = 8
"""Images that wait for the model at most; it sees one at a time."""
SIDE = 2000
"""Px of the longer side of a picture that is sent back."""
POLICY = page.POLICY.replace("img-src data:", "connect-src 'self'; img-src data:")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
}


class Demo:
    """Answers requests. No file is read or written for one: an image comes and goes in the request itself.

    Args:
        predictor: the model.
        name: of the model, for people.
        hosts: names under which it may be asked, so that no other site's page can reach it under a name of its own;
            empty: any.
        threshold: score from which on predictions are shown at first.
    """

    def __init__(
        self, predictor: Predictor, *, name: str, hosts: Iterable[str] = (), threshold: float = THRESHOLD
    ) -> None:
        self._predictor, self._hosts = predictor, list(hosts)
        self._lock, self._room = threading.Lock(), threading.BoundedSemaphore(WAITING)
        self._page = index(predictor, name, threshold)

    def close(self, patience: float) -> None:
        """Wait ``patience`` seconds at most for the image that is being looked at, and look at no other."""
        self._lock.acquire(timeout=patience)  # for good

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer, as WSGI has it."""
        request = Request(environ)
        request.trusted_hosts = self._hosts or None
        request.max_content_length = MOST_BYTES
        response = self._answer(request)
        response.headers.update(HEADERS)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        try:
            request.host  # noqa: B018 - raises where nobody may ask under this name
            if request.path == "/" and request.method in ("GET", "HEAD"):
                return Response(self._page, content_type="text/html; charset=utf-8")
            if request.path == "/predict" and request.method == "POST":
                return self._predicted(request)
        except StrangeHost:
            return _refusal(403, f"this demo is not to be asked as {request.headers.get('Host', '')!r}")
        except HTTPException as error:
            if error.code == 413:
                return _refusal(413, f"the image is too large: at most {megabytes(MOST_BYTES)} are taken")
            return _refusal(error.code or 400, str(error.description))
        return _refusal(404, "there is nothing here; the page is at /")

    def _predicted(self, request: Request) -> Response:
        origin = request.headers.get("Origin")
        if origin is not None and origin != request.host_url.rstrip("/"):
            return _refusal(403, f"pages of {origin} may not ask this demo")
        try:
            threshold = float(request.args.get("threshold", THRESHOLD))
        except ValueError:
            return _refusal(400, f"threshold: expected a number, got {request.args['threshold']!r}")
        if not 0 <= threshold <= 1:
            return _refusal(400, f"threshold: expected 0 to 1, got {threshold}")
        name = request.args.get("name", "")[:200] or "image"
        data = request.get_data(cache=False)
        if not self._room.acquire(blocking=False):
            return _refusal(503, "the model is busy with other images; try again")
        try:
            with self._lock:
                return _json(200, self._said(data, name, threshold))
        except VFError as error:
            return _refusal(422, error.problems[0])
        finally:
            self._room.release()

    def _said(self, data: bytes, name: str, threshold: float) -> dict[str, Any]:
        check_image(data, name)
        image = decode(data, name=name)
        began = time.perf_counter()
        result = self._predictor(image)
        seconds = time.perf_counter() - began
        content, _ = page.jpeg(result.draw(threshold=threshold), SIDE)
        told = {**result.to_dict(threshold=threshold), "image": name}
        return {"picture": page.inlined(content), "result": told, "milliseconds": round(1000 * seconds, 1)}


def check_image(data: bytes, name: str) -> None:
    """Refuse what is no image, or too large a one, before it is decoded.

    Raises:
        DataError: saying which.
    """
    if not data:
        raise DataError(f"{name}: is empty (0 bytes); expected an image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own bound is the one that counts
            with Image.open(io.BytesIO(data), formats=KINDS) as header:
                width, height = header.size
    except Image.DecompressionBombError:
        raise DataError(f"{name}: has too many pixels; at most {MOST_PIXELS / 1e6:.0f} million are taken") from None
    except Exception:  # whatever a broken header makes of its reader
        raise DataError(f"{name}: is not an image that is taken here: {', '.join(KINDS)}") from None
    if width * height > MOST_PIXELS:
        most = f"at most {MOST_PIXELS / 1e6:.0f} million pixels are taken"
        raise DataError(f"{name}: has {width}×{height} pixels; {most}")


def _json(code: int, content: dict[str, Any]) -> Response:
    return Response(json.dumps(content, ensure_ascii=False), status=code, content_type="application/json")


def _refusal(code: int, line: str) -> Response:
    return _json(code, {"error": line})


def index(predictor: Predictor, name: str, threshold: float) -> str:
    """Return the page."""
    info = predictor.info
    own = files("vf.demo")
    facts = [info.task, f"{len(info.classes)} classes" if len(info.classes) > 1 else "", str(predictor.device)]
    lead = f'<p class="soft">{page.text(" · ".join(filter(None, facts)))}</p>'
    body = f"""
<label id="zone" data-most="{MOST_BYTES}"><input type="file" id="file" accept="image/*">
<b>Drop an image here</b>, paste one, or click to choose<br>
<span class="soft">{", ".join(KINDS)}; up to {megabytes(MOST_BYTES)}. It stays on the machine of the demo and is not
kept.</span></label>
<div id="controls"><label>from score <input type="range" id="threshold" min="0" max="1" step="0.01"
value="{threshold}"></label><span id="value">{threshold:.2f}</span></div>
<p id="status" class="soft" role="status"></p>
<div id="out" hidden>
<figure class="card"><img id="picture" alt="what the model says"><figcaption id="caption"></figcaption></figure>
<div class="card"><div id="said"></div>
<p><a id="save-picture">save the picture</a> · <a id="save-json">save the JSON</a></p>
<details><summary>JSON</summary><pre id="json"></pre></details></div>
</div>"""
    return page.document(
        name,
        lead=lead,
        sections=[page.Section("demo", "Demo", body)],
        foot=f"vf {__version__}",
        policy=POLICY,
        style=(own / "demo.css").read_text(encoding="utf-8"),
        script=(own / "demo.js").read_text(encoding="utf-8"),
    )
