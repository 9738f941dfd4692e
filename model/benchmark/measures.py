"""What benchmark.py measures of a page and of what it is made of, as rows of model/benchmark/timing.py.

Each function takes benchmark.py's arguments and the Classifier of the model folder.
"""

import contextlib
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from model.benchmark import load, runtimes
from model.benchmark.cost import batch_cost, evaluate_cost, lesion, megabytes, sampled
from model.benchmark.timing import row, timed
from model.classifier import Classifier
from model.folder import TFLITE
from model.hub.card import PUBLISHED
from model.preprocessing import load_picture, open_picture
from model.quality import quality_notices


def pool_rows(args, classifier: Classifier) -> list[dict]:
    """Ways to serve several calls: one interpreter with a thread a core, more of them, batches."""
    rows, cores = [], os.cpu_count()
    here = classifier.height, classifier.width
    image = np.random.default_rng(0).integers(0, 256, (*here, 3), dtype=np.uint8)
    for workers, threads in dict.fromkeys([(1, cores), (1, 1), (2, 1), (2, cores), (cores, 1)]):
        run = Classifier(classifier.folder, threads, workers).run
        rate = load.threaded(partial(run, image), clients=8, seconds=args.seconds / 2)
        what = f"interpreters: {workers}, threads each: {threads}"
        rows.append(row("serving", what, per_second=rate))
    for size in (4, 8):
        try:
            call = runtimes.tflite_batch(classifier.folder / TFLITE, size)
        except (RuntimeError, ValueError) as error:
            print(f"batches of {size}: cannot run ({str(error).splitlines()[0][:100]})")
            continue
        images = np.repeat(image[None], size, 0)
        rate = size * load.threaded(partial(call, images), clients=1, seconds=args.seconds / 2)
        what = f"interpreters: 1, threads each: {cores}, pictures at once: {size}"
        rows.append(row("serving", what, per_second=rate))
    for each in rows:
        each["ratio"] = each["per_second"] / rows[0]["per_second"]
    return rows


def picture_rows(args, classifier: Classifier) -> list[dict]:
    """Decoding and resizing, as for the network."""
    rows, here = [], (classifier.height, classifier.width)
    for what, size in (("600x450", (600, 450)), ("12-megapixel", (4000, 3000))):
        for grain, how in ((6, "grainy"), (0, "smooth")):
            data = lesion(1, size, grain)
            name = f"{what} JPEG, {how}, {len(data) / 1e6:.2f} MB, decoded and resized"
            times = timed(partial(load_picture, data, *here), args.calls)
            rows.append(row("picture", name, times))
    picture = open_picture(lesion(1), *here)
    times = timed(lambda: quality_notices(picture), args.calls)
    return [*rows, row("picture", "quality notices", times)]


def ours(folder: Path) -> list[str]:
    return [sys.executable, "app.py", "--model", str(folder)]


def call_rows(args, classifier: Classifier) -> list[dict]:
    """Whole calls of the page from this machine, its start, its memory."""
    from gradio_client import Client, handle_file

    picture, rows = lesion(1), []
    with load.page(ours(classifier.folder), picture) as server:
        caller = load.Caller(server.port)
        rows.append(row("page", "from start to first answer", seconds=server.seconds))

        def connect():
            caller.connection.close()
            caller.connection.connect()

        rows.append(row("calls", "network latency: a TCP connection", timed(connect, args.calls)))
        empty = partial(caller.request, "GET", f"{load.API}/startup-events")
        rows.append(row("calls", "network latency: an empty answer", timed(empty, args.calls)))
        inside = partial(caller.inside, picture)
        for what, send in (
            ("HTTP, upload then /run/analyze", lambda: caller.run(caller.upload(picture))),
            ("HTTP, picture inside /run/analyze", lambda: caller.run(inside())),
            ("HTTP, upload then queue", lambda: caller.queued(caller.upload(picture), "analyze")),
        ):
            network = []
            times = timed(lambda: network.append(send()["milliseconds"]), args.calls)
            rows.append(row("calls", what, times))
            over = [whole - alone for whole, alone in zip(times, network[-len(times) :])]
            rows.append(row("calls", f"{what}: less the network's time", over))
        with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
            file.write(picture)
            file.flush()
            for what, options in (("", {}), (", without certificates", {"ssl_verify": False})):
                client = Client(f"http://127.0.0.1:{server.port}", verbose=False, **options)
                send = partial(client.predict, handle_file(file.name), api_name="/analyze")
                rows.append(row("calls", f"gradio_client{what}", timed(send, args.calls)))
        peak = megabytes(server.pid, "VmHWM")
        rows.append(row("page", "peak memory after these calls", megabytes=peak))
    return rows


def load_rows(args, classifier: Classifier) -> list[dict]:
    """Throughput of the page and of the naive one, both up, with one client and more. They take
    turns, so that what else the machine does meets both."""
    pictures = [lesion(seed) for seed in range(max(args.clients))]
    naive = f"from model.benchmark.load import naive_page; naive_page({str(classifier.folder)!r})"
    commands = {"naive page": [sys.executable, "-c", naive], "page": ours(classifier.folder)}
    turns = ("naive page", "queued"), ("page", "queued"), ("page", "run")
    rows, ends = [], []
    with contextlib.ExitStack() as stack:
        up = {k: stack.enter_context(load.page(c, pictures[0])) for k, c in commands.items()}
        for clients in args.clients:
            found = {turn: load.Load() for turn in turns}
            for name, how in turns * 2:
                more = load.under_load(up[name].port, pictures[:clients], args.seconds / 2, how)
                found[name, how] += more
            naive_rate = load_figures(found[turns[0]])["per_second"]
            for (name, how), each in found.items():
                figures = load_figures(each) | {"clients": clients}
                figures["ratio"] = figures["per_second"] / naive_rate
                name = f"{name}, {'queue' if how == 'queued' else '/run'}"
                rows.append(row("load", name, each.times, **figures))
                print(f"{name}, {clients} clients: {figures['per_second']:.1f} a second")
                print(*each.errors[:1], sep="\n", end="")
        for name, server in up.items():
            peak = megabytes(server.pid, "VmHWM")
            ends.append(row("page", f"{name}: peak memory after load", megabytes=peak))
    return sorted(rows, key=lambda each: each["what"]) + ends


def load_figures(found: load.Load) -> dict:
    errors = len(found.errors) + found.wrong
    return {"per_second": len(found.times) / found.seconds, "errors": errors}


def soak_rows(args, classifier: Classifier) -> list[dict]:
    """Memory of the page under load, sampled once a second."""
    pictures = [lesion(seed) for seed in range(4)]
    with load.page(ours(classifier.folder), pictures[0]) as server:
        with sampled(server.pid, every=1) as samples:
            found = load.under_load(server.port, pictures, args.soak * 60)
    more = load_figures(found) | {"clients": len(pictures), "seconds": found.seconds}
    more |= {"megabytes": max(samples), "growth": load.growth(samples)}
    return [row("soak", "page under load", found.times, **more)]


def growth_rows(args, classifier: Classifier) -> list[dict]:
    """Seconds and memory of the batch tab's work and of evaluate.py, on more and more pictures."""
    rows = []
    kinds = ("batch, memory beyond the page's", batch_cost), ("evaluate.py", evaluate_cost)
    for what, cost in kinds:
        for count in args.sizes:
            found = cost(classifier.folder, count, args.dataset)
            found |= {"calls": count, "per_second": count / found["seconds"]}
            rows.append(row("growth", f"{what}, {count} pictures", **found))
            print(f"{what}, {count} pictures: {found['seconds']:.1f} s", flush=True)
    return rows


def paper_rows() -> list[dict]:
    """The published times (Harahap and Zulkifli 2023, Table 5 and 6), of other machines."""
    calls = PUBLISHED["latency_calls"]
    rows = [row("published", k, calls=calls, **ms) for k, ms in PUBLISHED["latency_ms"].items()]
    whole = PUBLISHED["whole_call_ms"].items()
    return rows + [row("published", f"whole call, {k}", mean=v) for k, v in whole]
