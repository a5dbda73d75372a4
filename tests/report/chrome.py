"""A real browser for the tests: headless Chromium over its DevTools protocol, one page at a time."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import websocket

from tests.packages import installed

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START_LIMIT = 60.0
ANSWER_LIMIT = 120.0


def browser() -> str:
    """The browser of this machine; Debian's is installed where there is none."""
    found = _found() or (_found() if installed("chromium") else None)
    if found is None:
        raise RuntimeError(
            f"the tests need a browser: install one of {', '.join(BROWSERS)} (Debian: apt-get install chromium)"
        )
    return found


def _found() -> str | None:
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


class Page:
    """One open page: what it logged, what it asked for, and whatever an expression in it gives."""

    def __init__(self, url: str) -> None:
        self._socket = websocket.create_connection(url, timeout=ANSWER_LIMIT, suppress_origin=True)
        self._ids = itertools.count(1)
        self.errors: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events that come meanwhile are noted."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])
            self._note(message.get("method", ""), message.get("params", {}))

    def _note(self, event: str, params: dict[str, Any]) -> None:
        if event == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"])[:2000])
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(json.dumps(params["entry"])[:2000])
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(json.dumps(params["args"])[:2000])
        elif event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, file: Path, width: int = 1200, phone: bool = False, dark: bool = False) -> None:
        """Open a report and wait until its charts are drawn."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=file.as_uri())
        deadline = time.monotonic() + ANSWER_LIMIT
        while self.value("document.documentElement?.dataset.drawn ?? ''") == "":
            assert time.monotonic() < deadline, f"the charts were not drawn in time: {self.errors}"
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        """Click in the middle of an element, as a person does: some things are allowed to nobody else."""
        box = self.value(f"""(() => {{
          const found = document.querySelector("{selector}");
          found.scrollIntoView({{block: "center", behavior: "instant"}});
          const r = found.getBoundingClientRect();
          return [r.x + r.width / 2, r.y + r.height / 2];
        }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            place = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **place)

    def picture(self, file: Path, limit: int = 8000) -> None:
        """Save the whole page as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], limit), "scale": 1}
        answer = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(answer["data"]))

    def close(self) -> None:
        """Leave the page."""
        self._socket.close()


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Page]:
    """A browser with one empty page, its profile in ``folder``."""
    command = [browser(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += ["--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        page = Page(_page_url(folder))
        yield page
        page.close()
    finally:
        process.terminate()
        process.wait(timeout=START_LIMIT)


def _page_url(folder: Path) -> str:
    """The address of the first page, once the browser has written down its port."""
    import urllib.request

    note = folder / "DevToolsActivePort"
    deadline = time.monotonic() + START_LIMIT
    while not (note.exists() and note.read_text().strip()):
        assert time.monotonic() < deadline, "the browser did not start"
        time.sleep(0.05)
    port = note.read_text().split()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=START_LIMIT) as answer:
        pages = json.load(answer)
    return str(next(p["webSocketDebuggerUrl"] for p in pages if p["type"] == "page"))
