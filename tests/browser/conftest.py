"""A headless Chromium, spoken to over its DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import time
import urllib.request

import pytest
import websocket


class Page:
    """A page of the browser; keeps what it said and asked for.

    Args:
        address: Of its DevTools socket.
    """

    def __init__(self, address):
        self._socket = websocket.create_connection(address, timeout=30)
        self._numbers = itertools.count(1)
        self.events = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method, **params):
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def open(self, path, width, scheme):
        """Loads a file at a width, in a light or dark scheme."""
        self.events.clear()
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.send("Page.navigate", url=path.as_uri())
        deadline = time.monotonic() + 30
        while self.evaluate("document.readyState") != "complete":
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def evaluate(self, expression, **where):
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, **where)
        return found["result"].get("value")

    def frame(self):
        """Where the page's only frame evaluates, as an argument of `evaluate`."""
        (child,) = self.send("Page.getFrameTree")["frameTree"]["childFrames"]
        made = self.send("Page.createIsolatedWorld", frameId=child["frame"]["id"])
        return {"contextId": made["executionContextId"]}

    def screenshot(self):
        return base64.b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def requests(self):
        """Addresses that were asked for, but for what is in the page itself."""
        sent = [
            event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in sent if not url.startswith(("data:", "about:"))]

    def errors(self):
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded")
        return [event for event in self.events if event["method"] in kinds]


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    program = shutil.which("chromium")
    assert program, "install Debian's chromium"
    profile = tmp_path_factory.mktemp("profile")
    command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    command += [f"--user-data-dir={profile}", "--remote-allow-origins=*", "--host-resolver-rules=MAP * ~NOTFOUND"]
    # A sandboxed frame in a process of its own would not be heard.
    command += ["--disable-features=IsolateSandboxedIframes"]
    with subprocess.Popen([*command, "about:blank"], stderr=subprocess.DEVNULL) as process:
        try:
            yield Page(_page(profile / "DevToolsActivePort"))
        finally:
            process.terminate()


def _page(file):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, IndexError, StopIteration):
            port = file.read_text().split()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as response:
                return next(p for p in json.load(response) if p["type"] == "page")["webSocketDebuggerUrl"]
        time.sleep(0.1)
    raise AssertionError("the browser did not start")
