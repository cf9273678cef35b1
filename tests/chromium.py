"""A page in headless Chromium, driven through the DevTools protocol over a pipe: no port, no other package.

Protocol: https://chromedevtools.github.io/devtools-protocol/ (messages end with a zero byte, read from descriptor 3
and written to descriptor 4).
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
TIMEOUT_SECONDS = 30.0
_FREE_DESCRIPTORS = 10  # above those that the browser is given
_ARGUMENTS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",  # it shows pages that were made here, also as root in a container
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # what got past the test's eyes reaches nothing all the same
    "about:blank",
)

Json = dict[str, Any]


class BrowserError(Exception):
    """The browser said no, or nothing in time."""


def find_chromium() -> str | None:
    """The browser on the path, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Page:
    """One page, and what it did since it was opened."""

    browser: Browser
    session: str
    errors: list[str] = field(default_factory=list)
    """Console messages of level error or warning, uncaught exceptions, and what a policy blocked."""
    requests: list[str] = field(default_factory=list)
    """Addresses asked for, ``data:`` left out."""

    def show(self, address: str, *, width: int, height: int = 800) -> None:
        """Load an address into a viewport of CSS pixels and wait until everything on the page has loaded."""
        phone = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Page.navigate", url=address)
        self.browser.wait_for("Page.loadEventFired")
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def screenshot(self) -> bytes:
        """The viewport as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def pdf(self) -> bytes:
        """The page as it is printed, on A4."""
        return base64.b64decode(self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])

    def call(self, method: str, **parameters: Any) -> Json:
        """Send one command and return its result."""
        return self.browser.call(method, parameters, self.session)

    def heard(self, method: str, parameters: Json) -> None:
        """Take note of an event."""
        if method == "Network.requestWillBeSent":
            address = parameters["request"]["url"]
            if not address.startswith("data:"):
                self.requests.append(address)
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.errors.append(str(parameters["args"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.errors.append(parameters["entry"]["text"])
        elif method == "Audits.issueAdded":
            self.errors.append(str(parameters["issue"]["code"]))


class Browser:
    """A running Chromium, its two pipes, and the pages opened in it."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._number = 0
        self._unread = b""
        self._events: list[str] = []
        self._pages: dict[str, Page] = {}

    def new_page(self) -> Page:
        """An empty page that is listened to."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Network", "Runtime", "Log", "Audits"):
            page.call(f"{domain}.enable")
        return page

    def call(self, method: str, parameters: Json, session: str | None = None) -> Json:
        """Send one command and return its result; events that come meanwhile reach their page."""
        self._number += 1
        command: Json = {"id": self._number, "method": method, "params": parameters}
        os.write(self._to, json.dumps(command | ({"sessionId": session} if session else {})).encode() + b"\0")
        answer = next(message for message in self._messages() if message.get("id") == self._number)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    def wait_for(self, event: str) -> None:
        """Wait until an event of this name has come since the last wait."""
        if event not in self._events:
            next(message for message in self._messages() if message.get("method") == event)
        self._events.clear()

    def _messages(self) -> Iterator[Json]:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            while b"\0" in self._unread:
                text, self._unread = self._unread.split(b"\0", 1)
                message = json.loads(text)
                self._note(message)
                yield message
            ready, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
            read = os.read(self._from, 1 << 20) if ready else b""
            if not read:
                raise BrowserError("the browser ended, or did not answer in time")
            self._unread += read

    def _note(self, message: Json) -> None:
        if "method" in message:
            self._events.append(message["method"])
            page = self._pages.get(message.get("sessionId", ""))
            if page is not None:
                page.heard(message["method"], message["params"])


@contextmanager
def chromium(executable: str) -> Iterator[Browser]:
    """Start a browser with an empty profile; it is ended and its profile deleted at the end."""
    pipes = [fcntl.fcntl(end, fcntl.F_DUPFD, _FREE_DESCRIPTORS) for pair in (os.pipe(), os.pipe()) for end in pair]
    commands, to_browser, from_browser, answers = pipes

    def take_over() -> None:
        os.dup2(commands, 3)
        os.dup2(answers, 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [executable, f"--user-data-dir={profile}", *_ARGUMENTS],
            preexec_fn=take_over,
            pass_fds=(3, 4),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        try:
            yield Browser(to_browser, from_browser)
        finally:
            process.kill()
            process.wait()
            os.close(to_browser)
            os.close(from_browser)


def address_of(file: Path) -> str:
    """The ``file:`` address of a file."""
    return file.resolve().as_uri()
