"""Pages under load: start one, call it as programs do from many threads, watch its memory.

`with page([sys.executable, "app.py"], picture) as server:` has one up; `Caller(server.port)` calls
it, and `under_load(server.port, pictures, seconds)` with as many clients as there are pictures.
"""

import base64
import contextlib
import http.client
import json
import os
import secrets
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
API = "/gradio_api"
BOUNDARY = "a-picture-begins-or-ends-here"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
JSON = {"Content-Type": "application/json"}


class LoadError(RuntimeError):
    """A page that does not start or answers with an error; the message is what it said."""


class Caller:
    """A program that calls the page over one connection that stays open (HTTP/1.1)."""

    def __init__(self, port: int, timeout: float = 120):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self.session, self.places = secrets.token_hex(8), {}
        self.headers = {}

    def request(self, method: str, path: str, body: bytes | None = None, headers=None) -> bytes:
        self.connection.request(method, path, body, self.headers | (headers or {}))
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise LoadError(f"{answer.status}: {content.decode(errors='replace')[:300]}")
        return content

    def upload(self, picture: bytes) -> dict:
        """Send a picture; gives what stands for it in a call."""
        head = (
            f"--{BOUNDARY}\r\nContent-Disposition: form-data; "
            'name="files"; filename="lesion.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        )
        body = head.encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()
        (path,) = json.loads(self.request("POST", f"{API}/upload", body, FORM))
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    @staticmethod
    def inside(picture: bytes) -> dict:
        """A picture within the call itself, as a data URL."""
        url = "data:image/jpeg;base64," + base64.b64encode(picture).decode()
        return {"url": url, "meta": {"_type": "gradio.FileData"}}

    def run(self, sent: dict, name: str = "analyze"):
        """The answer of an endpoint, in one request."""
        body = json.dumps({"data": [sent]}).encode()
        return json.loads(self.request("POST", f"{API}/run/{name}", body, JSON))["data"][0]

    def queued(self, sent: dict, name: str = "predict"):
        """The answer of an endpoint through the queue, as the page and gradio_client ask for it."""
        if name not in self.places:
            calls = json.loads(self.request("GET", "/config"))["dependencies"]
            self.places |= {call["api_name"]: call["id"] for call in calls}
        call = {"data": [sent], "fn_index": self.places[name], "session_hash": self.session}
        self.request("POST", f"{API}/queue/join", json.dumps(call).encode(), JSON)
        stream = self.request("GET", f"{API}/queue/data?session_hash={self.session}").decode()
        messages = [json.loads(line[5:]) for line in stream.splitlines() if line[:5] == "data:"]
        answer = next(m for m in messages if m["msg"] == "process_completed")
        if not answer["success"]:
            raise LoadError(answer["output"].get("error"))
        return answer["output"]["data"][0]


@dataclass
class Server:
    """A page that is up. `seconds`: from the start of its process to its first answer."""

    port: int
    pid: int
    seconds: float


@contextlib.contextmanager
def page(command: list[str], picture: bytes, name: str = "predict", patience: float = 300):
    """A Server: `command` started as a user starts it, up and having answered once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as said:
        environment = {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": folder}
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=said, stderr=said, env=os.environ | environment
        )
        try:
            while True:
                with contextlib.suppress(OSError, http.client.HTTPException, LoadError):
                    caller = Caller(port)
                    caller.queued(caller.upload(picture), name)
                    break
                late = time.perf_counter() - start > patience
                if late or process.poll() is not None:
                    said.seek(0)
                    raise LoadError(
                        f"The page did not come up: {said.read().decode(errors='replace')[-500:]}"
                    )
                time.sleep(0.02)
            yield Server(port, process.pid, time.perf_counter() - start)
        finally:
            process.terminate()
            process.wait(30)


@dataclass
class Load:
    """What clients met: `times` of the calls in milliseconds, `seconds` that it all took, the first
    words of the `errors`, and how many answers were another picture's."""

    times: list[float] = field(default_factory=list)
    seconds: float = 0.0
    errors: list[str] = field(default_factory=list)
    wrong: int = 0

    def __add__(self, other: "Load") -> "Load":
        return Load(
            self.times + other.times,
            self.seconds + other.seconds,
            self.errors + other.errors,
            self.wrong + other.wrong,
        )


def under_load(port: int, pictures: list[bytes], seconds: float, how: str = "queued") -> Load:
    """One client a picture, each sending it and asking /predict again and again for `seconds`;
    `how` is a method of Caller. Every answer is held against the first one, asked for alone."""
    callers = [Caller(port) for _ in pictures]
    alone = []
    for caller, picture in zip(callers, pictures):
        alone.append(_shares(getattr(caller, how)(caller.upload(picture), "predict")))
        # Opens again by itself; the page closes what is idle for five seconds, as this may be.
        caller.connection.close()
    found, lock = Load(), threading.Lock()
    begin = time.perf_counter()

    def client(caller: Caller, picture: bytes, expected: dict) -> None:
        while time.perf_counter() - begin < seconds:
            start = time.perf_counter()
            try:
                shares = _shares(getattr(caller, how)(caller.upload(picture), "predict"))
            except (LoadError, OSError, http.client.HTTPException) as error:
                caller.connection.close()  # opens again by itself
                with lock:
                    found.errors.append(f"{type(error).__name__}: {error}"[:200])
                continue
            with lock:
                found.times.append((time.perf_counter() - start) * 1000)
                found.wrong += any(abs(shares[k] - expected[k]) > 1e-3 for k in expected)

    threads = [threading.Thread(target=client, args=each) for each in zip(callers, pictures, alone)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.seconds = time.perf_counter() - begin
    return found


def _shares(answer: dict) -> dict[str, float]:
    return {each["label"]: each["confidence"] for each in answer["confidences"]}


def threaded(call, clients: int, seconds: float) -> float:
    """How many times a second `call` is done when `clients` threads do it again and again."""
    call()
    done, begin = [0] * clients, time.perf_counter()

    def client(i: int) -> None:
        while time.perf_counter() - begin < seconds:
            call()
            done[i] += 1

    threads = [threading.Thread(target=client, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - begin)


def growth(samples: list[float]) -> float:
    """How much memory grew, as a share: the median of the last fifth of the samples over that of
    the second fifth; in the first a page still warms up."""
    fifth = max(1, len(samples) // 5)
    return float(np.median(samples[-fifth:]) / np.median(samples[fifth : 2 * fifth]) - 1)


def naive_page(folder: str) -> None:
    """The page that ours is held against: the same file, a thread a core, Gradio as it comes, one
    call at a time."""
    import gradio as gr

    from model.classifier import Classifier

    classifier = Classifier(folder)

    def predict(picture):
        return classifier(picture).probabilities

    gr.Interface(predict, gr.Image(type="pil"), gr.Label(), api_name="predict").launch()
