"""Drives Firefox by its own Marionette protocol, so that tests need nothing but the browser.

with Firefox(folder) as firefox:              # an empty folder for its profile
    firefox.go(url)
    firefox.evaluate("() => document.title")
    firefox.send_file("input", path)

A message is its length, a colon, and JSON: [0, id, command, parameters], answered by
[1, id, error, result] (Firefox Source Docs, "Marionette Protocol").
"""

import itertools
import json
import os
import socket
import subprocess
import time
from pathlib import Path

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver's name for an element


class Firefox:
    """A headless Firefox with a new profile. Errors of the page or protocol are RuntimeErrors."""

    def __init__(self, folder: Path, binary: str = "firefox-esr", **preferences):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        preferences = {"marionette.port": port} | preferences
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in preferences.items()]
        (folder / "user.js").write_text("\n".join(lines))
        command = [binary, "--headless", "--marionette", "--no-remote", "--profile", str(folder)]
        self.process = subprocess.Popen(
            [*command, "about:blank"],
            env=os.environ | {"HOME": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._count = itertools.count()
        for _ in range(600):
            try:
                self._socket = socket.create_connection(("127.0.0.1", port), 120)
                break
            except OSError:
                assert self.process.poll() is None, "Firefox ended at its start"
                time.sleep(0.1)
        self._stream = self._socket.makefile("rb")
        self._read()
        self.version = self.call("WebDriver:NewSession")["capabilities"]["browserVersion"]
        self.call("WebDriver:SetTimeouts", script=120_000)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()
        self.process.terminate()
        self.process.wait(30)

    def _read(self):
        length = 0
        while (digit := self._stream.read(1)) != b":":
            length = 10 * length + int(digit)
        return json.loads(self._stream.read(length))

    def call(self, command: str, **parameters):
        message = json.dumps([0, next(self._count), command, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._read()
        if error:
            raise RuntimeError(f"{command}: {error['error']}: {error['message']}")
        return result

    def go(self, url: str) -> None:
        self.call("WebDriver:Navigate", url=url)

    def evaluate(self, code: str, argument=None):
        """Call a JavaScript function with a JSON value and return its result, like Playwright's
        `evaluate`. It runs in the page itself: Marionette's own scripts see a wrapper of it."""
        script = f"""
            document.documentElement.removeAttribute("data-result");
            (async () => ({code})({json.dumps(argument)}))()
                .then(value => ({{value}}), error => ({{error: String(error)}}))
                .then(found => document.documentElement.dataset.result = JSON.stringify(found));"""
        self.add_script(script)
        find = """const [done] = [...arguments].slice(-1), root = document.documentElement;
            (function look() {
                if (root.dataset.result) done(root.dataset.result); else setTimeout(look, 5);
            })()"""
        found = self.call("WebDriver:ExecuteAsyncScript", script=find, args=[])
        found = json.loads(found["value"])
        if "error" in found:
            raise RuntimeError(found["error"])
        return found.get("value")

    def add_script(self, content: str) -> None:
        code = """const node = document.createElement("script");
            node.textContent = arguments[0];
            document.head.append(node);"""
        self.call("WebDriver:ExecuteScript", script=code, args=[content])

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.time() + seconds
        while not self.evaluate(f"() => !!({condition})"):
            assert time.time() < end, f"never true: {condition}"
            time.sleep(0.1)

    def send_file(self, selector: str, path: Path) -> None:
        found = self.call("WebDriver:FindElement", using="css selector", value=selector)
        self.call("WebDriver:ElementSendKeys", id=found["value"][ELEMENT], text=str(path))
