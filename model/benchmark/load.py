"""A page under load: start it, call it as programs do from many threads, and watch its memory.

with page([sys.executable, "app.py"], picture) as server:
    found = under_load(server.port, pictures, seconds=6)
"""

import base64
import contextlib
import http.client
import io
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from model.folder import UserError
from model.labels import LABELS
from model.page.proxy import spare_own_address

ROOT = Path(__file__).parents[2]
API = "/gradio_api"
BOUNDARY = "boundary-of-a-picture"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
JSON = {"Content-Type": "application/json"}


class LoadError(UserError):
    """A page or script that fails; the message is what it said."""


class Caller:
    """A program that calls the page over one persistent connection (HTTP/1.1)."""

    def __init__(self, port: int, timeout: float = 120):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self.session, self.endpoints = secrets.token_hex(8), {}
        self.headers = {}

    def request(self, method: str, path: str, body: bytes | None = None, headers=None) -> bytes:
        """The body of the response. Raises LoadError if its status is not 200."""
        self.connection.request(method, path, body, self.headers | (headers or {}))
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise LoadError(f"{answer.status}: {content.decode(errors='replace')[:300]}")
        return content

    def upload(self, picture: bytes) -> dict:
        """Upload a picture; returns what a call sends in its place."""
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

    def run(self, sent, name: str = "analyze"):
        """The answer of an endpoint, in one request."""
        body = json.dumps({"data": [sent]}).encode()
        return json.loads(self.request("POST", f"{API}/run/{name}", body, JSON))["data"][0]

    def shown(self, sent, language: str = "en") -> dict:
        """The answer that the page shows, or {error: sentence}, asked for as the page does."""
        components = json.loads(self.request("GET", "/config"))["components"]
        place = next(c["id"] for c in components if c["props"].get("elem_id") == "one")
        call = {"session_hash": self.session, "component_id": place, "fn_name": "classify"}
        call["data"] = {"path": sent["path"], "language": language}
        body = json.dumps(call).encode()
        return json.loads(self.request("POST", f"{API}/component_server", body, JSON))

    def queued(self, sent, name: str = "predict"):
        """The answer of an endpoint through the queue, as gradio_client calls it."""
        if not self.endpoints:
            calls = json.loads(self.request("GET", "/config"))["dependencies"]
            self.endpoints = {call["api_name"]: call["id"] for call in calls}
        call = {"data": [sent], "fn_index": self.endpoints[name], "session_hash": self.session}
        self.request("POST", f"{API}/queue/join", json.dumps(call).encode(), JSON)
        stream = self.request("GET", f"{API}/queue/data?session_hash={self.session}").decode()
        messages = [json.loads(line[5:]) for line in stream.splitlines() if line[:5] == "data:"]
        answer = next(m for m in messages if m["msg"] == "process_completed")
        if not answer["success"]:
            raise LoadError(answer["output"].get("error"))
        return answer["output"]["data"][0]


@dataclass
class Server:
    """A running page. `seconds`: from the start of its process to its first answer."""

    port: int
    pid: int
    seconds: float


@contextlib.contextmanager
def page(command: list[str], picture: bytes, patience: float = 300):
    """Start a page with `command`, wait for its first answer, and yield its Server.

    Raises LoadError if the process ends, or does not answer within `patience` seconds."""
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
                    caller.queued(caller.upload(picture))
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


def ours(folder: Path) -> list[str]:
    """The command that starts this project's page."""
    return [sys.executable, "app.py", "--model", str(folder)]


def naive_page(folder: str) -> None:
    """Serve the same file with Gradio's defaults: one thread per core, one call at a time."""
    spare_own_address()
    import gradio as gr

    from model.classifier import Classifier

    classifier = Classifier(folder)

    def predict(picture):
        return classifier.predict(picture).probabilities

    # Answers as the page does, so that the same calls measure both.
    gr.Interface(predict, gr.Image(type="pil"), gr.JSON(), api_name="predict").launch()


@dataclass
class Load:
    """What the clients measured: `times` of the calls in milliseconds, `seconds` in all, the
    beginnings of the `errors`, and how many answers were those of another picture (`wrong`)."""

    times: list[float] = field(default_factory=list)
    seconds: float = 0.0
    errors: list[str] = field(default_factory=list)
    wrong: int = 0

    def figures(self) -> dict:
        """Answers per second, and the number of errors and wrong answers."""
        errors = len(self.errors) + self.wrong
        return {"per_second": len(self.times) / self.seconds, "errors": errors}


def under_load(
    port: int, pictures: list[bytes], seconds: float, how: str = "queued", found: Load | None = None
) -> Load:
    """Call /predict for `seconds` with one client a picture; `how` names a method of Caller.

    Each answer is compared with the first one, for which the client was alone. Adds to `found`,
    if given, and returns it."""

    def ask(caller: Caller, picture: bytes) -> dict[str, float]:
        return getattr(caller, how)(caller.upload(picture), "predict")

    callers = [Caller(port) for _ in pictures]
    alone = []
    for caller, picture in zip(callers, pictures):
        alone.append(ask(caller, picture))
        # It reopens by itself; the page closes connections that are idle for five seconds.
        caller.connection.close()
    found, lock = found or Load(), threading.Lock()
    begin = time.perf_counter()

    def client(caller: Caller, picture: bytes, expected: dict) -> None:
        while time.perf_counter() - begin < seconds:
            start = time.perf_counter()
            try:
                shares = ask(caller, picture)
            except (LoadError, OSError, http.client.HTTPException) as error:
                caller.connection.close()
                with lock:
                    found.errors.append(f"{type(error).__name__}: {error}"[:200])
                continue
            with lock:
                found.times.append((time.perf_counter() - start) * 1000)
                found.wrong += any(abs(shares[k] - expected[k]) > 1e-3 for k in expected)

    with ThreadPoolExecutor(len(pictures)) as pool:
        list(pool.map(client, callers, pictures, alone))
    found.seconds += time.perf_counter() - begin
    return found


def lesion(seed: int, size: tuple[int, int] = (600, 450), grain: float = 6) -> bytes:
    """A JPEG of a drawn blob on skin, `size` (width, height); `grain` is the standard deviation of
    its noise in grey levels, on which the length of the file depends."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", size, (230, 190, 170))
    x, y = rng.uniform(0.35, 0.65, 2) * size
    r = rng.uniform(0.2, 0.35) * min(size)
    colour = tuple(int(c) for c in rng.integers(40, 160, 3))
    ImageDraw.Draw(picture).ellipse((x - r, y - r, x + r, y + r), fill=colour)
    pixels = np.asarray(picture, np.float32)
    pixels = pixels + grain * rng.standard_normal(pixels.shape, np.float32)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def megabytes(pid: int, field: str = "RssAnon") -> float:
    """Memory of a process from /proc: VmHWM the peak, VmRSS now, RssAnon without mapped files."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":"))


@contextlib.contextmanager
def sampled(pid: int, every: float = 0.2):
    """Yield a list to which a process' RssAnon in megabytes is added every `every` seconds."""
    samples, done = [], threading.Event()

    def watch():
        # The process may end before the block does.
        with contextlib.suppress(OSError, StopIteration):
            while not done.wait(every):
                samples.append(megabytes(pid))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def growth(samples: list[float]) -> float:
    """By which share memory grew: the median of the last fifth of the samples over that of the
    second fifth. During the first, a page still warms up."""
    fifth = max(1, len(samples) // 5)
    return float(np.median(samples[-fifth:]) / np.median(samples[fifth : 2 * fifth]) - 1)


def batch_cost(folder: Path, count: int, dataset: str | None = None) -> tuple[float, float]:
    """Seconds, and megabytes beyond those before, that a fresh page takes for `count` pictures in
    its batch tab, in as few calls as the tab's bound allows."""
    from model.page.batch import MAX_PICTURES

    with page(ours(folder), lesion(0)) as server:
        caller, sent = Caller(server.port), []
        before, start = megabytes(server.pid), time.perf_counter()
        with sampled(server.pid) as samples:
            for i, data in enumerate(_pictures(count, dataset), start=1):
                sent.append(caller.upload(data))
                if len(sent) == MAX_PICTURES or i == count:
                    caller.queued(sent, "answer_many_en")
                    sent = []
        return time.perf_counter() - start, max([*samples, before]) - before


def script_cost(folder: Path, count: int, dataset: str | None = None) -> tuple[float, float]:
    """Seconds, and peak megabytes, of evaluate.py on `count` pictures."""
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryFile() as said:
        source = write_pictures(Path(place) / "pictures", count, dataset)
        command = [sys.executable, "evaluate.py", str(folder), "--part", "all"]
        command += ["--dataset", str(source), "--output", f"{place}/out"]
        command += ["--cache", f"{place}/cache"]
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
        with sampled(process.pid) as samples:
            process.wait()
        if process.returncode:
            said.seek(0)
            raise LoadError(f"evaluate.py failed: {said.read().decode()[-500:]}")
        return time.perf_counter() - start, max(samples)


def _pictures(count: int, dataset: str | None):
    """`count` encoded pictures, of a data set or drawn, repeated as often as needed."""
    if dataset:
        from model.data.dataset import load_rows

        rows = load_rows(dataset, need=())
        yield from (rows.encoded(i % len(rows)) for i in range(count))
    else:
        drawn = [lesion(seed) for seed in range(min(count, 50))]
        yield from (drawn[i % len(drawn)] for i in range(count))


def write_pictures(folder: Path, count: int, dataset: str | None) -> Path:
    """A data set of `count` pictures with HAM10000's columns, as parquet; returns `folder`."""
    import datasets

    datasets.disable_progress_bars()

    def rows():
        for i, data in enumerate(_pictures(count, dataset)):
            name, dx = f"made_{i:06d}", LABELS[i % len(LABELS)]
            image = {"bytes": data, "path": None}
            yield {"image": image, "image_id": name, "lesion_id": name, "dx": dx}

    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as cache:
        table = datasets.Dataset.from_generator(rows, cache_dir=cache)
        table.cast_column("image", datasets.Image()).to_parquet(folder / "pictures.parquet")
    return folder
