"""The measurements of benchmark.py and the table that they fill.

First the table, then one network under several runtimes, then the parts. A part is a function
`..._rows` that takes benchmark.py's arguments and the Classifier of the model folder, and returns
rows of the table. All times are milliseconds unless a name says seconds.
"""

import contextlib
import csv
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from model.benchmark import load
from model.benchmark.load import lesion, megabytes
from model.folder import TFLITE, replacing, write_text
from model.hub.tables import table

COLUMNS = (
    "part what clients calls mean std min max median p95 ratio per_second errors seconds "
    "megabytes growth"
).split()
PACKAGES = "gradio ai-edge-litert tensorflow keras onnxruntime openvino numpy pillow".split()
TURNS = 6  # short ones: other work on the machine comes and goes within seconds
TOLERANCE = 0.05  # a page that is so much slower than the naive one counts as equal
Call = Callable[[np.ndarray], np.ndarray]


def timed(call, calls: int, warm: int = 3) -> list[float]:
    """Milliseconds of each of `calls` calls, after `warm` more that are not counted."""
    times = []
    for _ in range(warm + calls):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1000)
    return times[warm:]


def rate(call, clients: int, seconds: float) -> float:
    """Calls per second while `clients` threads repeat `call` for `seconds`."""
    call()
    done, begin = [], time.perf_counter()

    def client() -> None:
        while time.perf_counter() - begin < seconds:
            call()
            done.append(True)

    with ThreadPoolExecutor(clients) as pool:
        for _ in range(clients):
            pool.submit(client)
    return len(done) / (time.perf_counter() - begin)


def row(part: str, what: str, times: list[float] | None = None, **more) -> dict:
    """A row of the table: statistics of `times` (ms), if any, and `more`, with keys of COLUMNS."""
    found = {"part": part, "what": what} | more
    if times:
        figures = {"mean": np.mean, "std": np.std, "min": min, "max": max, "median": np.median}
        found |= {"calls": len(times)} | {key: of(times) for key, of in figures.items()}
        found["p95"] = np.quantile(times, 0.95)
    return found


def written(value) -> str:
    """A figure with at least three digits; "" for None."""
    if isinstance(value, (float, np.floating)):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return "" if value is None else str(value)


def machine() -> str:
    """Processor, cores, load before the measurement, date and versions, as Markdown."""
    cpu = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", cpu.read_text()) if cpu.exists() else []
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return (
        f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, "
        f"{os.getloadavg()[0]:.1f} of them busy before; {time.strftime('%d %B %Y')}.\n"
        f"Python {platform.python_version()}, {', '.join(found)}.\n"
    )


def as_markdown(rows: list[dict]) -> str:
    """A table for each part, with the columns that the part has."""
    tables = []
    for part in dict.fromkeys(row["part"] for row in rows):
        mine = [row for row in rows if row["part"] == part]
        columns = [c for c in COLUMNS[1:] if any(row.get(c) is not None for row in mine)]
        cells = [[written(row.get(column)) for column in columns] for row in mine]
        tables += table([part, *columns[1:]], cells)
    return "\n".join(tables)


def write(rows: list[dict], path: Path, heading: str) -> None:
    """Write `path`.csv with four decimals and `path`.md, each in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path.with_suffix(".csv")) as beside, open(beside, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for each in rows:
            writer.writerow(
                {k: round(float(v), 4) if isinstance(v, float) else v for k, v in each.items()}
            )
    write_text(path.with_suffix(".md"), f"{heading}\n{as_markdown(rows)}")


# Each raises ImportError if the runtime is not installed. The call takes pixels uint8 [n, height,
# width, 3] and returns probabilities [n, classes]; Keras returns logits.


def tflite(path: Path, threads: int | None = None, batch: int | None = None) -> Call:
    """LiteRT's interpreter, which uses XNNPACK; by default one thread per core, one image per
    call. Raises RuntimeError or ValueError if the graph cannot be resized to `batch` images."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads or os.cpu_count())
    if batch:
        place = interpreter.get_input_details()[0]
        interpreter.resize_tensor_input(place["index"], [batch, *place["shape"][1:]])
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()
    return lambda images: runner(pixels=images.astype(np.float32))["probabilities"]


def compiled(path: Path) -> Call:
    """LiteRT's newer interface, CompiledModel, on the processor."""
    from ai_edge_litert import compiled_model as litert

    options = litert.Options(
        hardware_accelerators=litert.HardwareAccelerator.CPU,
        cpu_options=litert.CpuOptions(num_threads=os.cpu_count()),
    )
    model = litert.CompiledModel.from_file(str(path), options=options)
    key = next(iter(model.get_signature_list()))
    shape = model.get_output_tensor_details(key)["probabilities"]["shape"]
    pixels = model.create_input_buffer_by_name(key, "pixels")
    names = model.get_signature_list()[key]["outputs"]
    outputs = {name: model.create_output_buffer_by_name(key, name) for name in names}

    def call(images):
        pixels.write(images.astype(np.float32))
        model.run_by_name(key, {"pixels": pixels}, outputs)
        return outputs["probabilities"].read(int(np.prod(shape)), np.float32).reshape(shape)

    return call


def openvino(path: Path) -> Call:
    """OpenVINO on a `.tflite` file or its own `.xml`, in the precision that it chooses itself."""
    import openvino

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": os.cpu_count()}
    model = openvino.Core().compile_model(str(path), "CPU", settings)
    request = model.create_infer_request()
    # Names differ between the files; only the probabilities have two dimensions.
    place = next(i for i, port in enumerate(model.outputs) if len(port.partial_shape) == 2)

    def call(images):
        request.infer({0: images.astype(np.float32)}, share_outputs=True)
        return request.get_output_tensor(place).data.copy()

    return call


def onnx(path: Path) -> Call:
    """ONNX Runtime, float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images.astype(np.float32)})[0]


def serving_rows(args, classifier) -> list[dict]:
    """Ways to serve several calls: one interpreter with one thread per core, several, batches."""
    from model.classifier import Classifier

    rows, cores = [], os.cpu_count()
    here = classifier.height, classifier.width
    image = np.random.default_rng(0).integers(0, 256, (*here, 3), dtype=np.uint8)
    for workers, threads in dict.fromkeys([(1, cores), (1, 1), (2, 1), (2, cores), (cores, 1)]):
        run = Classifier(classifier.folder, threads, workers).run
        per_second = rate(partial(run, image), clients=8, seconds=args.seconds / 2)
        what = f"interpreters: {workers}, threads each: {threads}"
        rows.append(row("serving", what, per_second=per_second))
    for size in (4, 8):
        try:
            call = tflite(classifier.folder / TFLITE, batch=size)
        except (RuntimeError, ValueError) as error:
            print(f"batches of {size}: cannot run ({str(error).splitlines()[0][:100]})")
            continue
        images = np.repeat(image[None], size, 0)
        per_second = size * rate(partial(call, images), clients=1, seconds=args.seconds / 2)
        what = f"interpreters: 1, threads each: {cores}, pictures at once: {size}"
        rows.append(row("serving", what, per_second=per_second))
    for each in rows:
        each["ratio"] = each["per_second"] / rows[0]["per_second"]
    return rows


def picture_rows(args, classifier) -> list[dict]:
    """Decoding and resizing a picture for the network, and its quality notices."""
    from model.preprocessing import load_picture, open_picture
    from model.quality import quality_notices

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


def call_rows(args, classifier) -> list[dict]:
    """Whole calls of the page from this machine, its start and its memory."""
    from gradio_client import Client, handle_file

    picture, rows = lesion(1), []
    with load.page(load.ours(classifier.folder), picture) as server:
        caller = load.Caller(server.port)
        rows.append(row("page", "from start to first answer", seconds=server.seconds))

        def connect():
            caller.connection.close()
            caller.connection.connect()

        rows.append(row("calls", "network latency: a TCP connection", timed(connect, args.calls)))
        empty = partial(caller.request, "GET", f"{load.API}/startup-events")
        rows.append(row("calls", "network latency: an empty answer", timed(empty, args.calls)))
        for what, send in (
            ("HTTP, upload then /run/analyze", lambda: caller.run(caller.upload(picture))),
            ("HTTP, picture inside /run/analyze", lambda: caller.run(caller.inside(picture))),
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


def load_rows(args, classifier) -> list[dict]:
    """Throughput of the page and of the naive one, for each number of clients. Both are up and
    take turns, so that other work on the machine affects them alike."""
    pictures = [lesion(seed) for seed in range(max(args.clients))]
    naive = f"from model.benchmark.load import naive_page; naive_page({str(classifier.folder)!r})"
    commands = {"naive page": [sys.executable, "-c", naive], "page": load.ours(classifier.folder)}
    turns = ("naive page", "queued"), ("page", "queued"), ("page", "run")
    rows, ends = [], []
    with contextlib.ExitStack() as stack:
        up = {k: stack.enter_context(load.page(c, pictures[0])) for k, c in commands.items()}
        for clients in args.clients:
            found = {turn: load.Load() for turn in turns}
            for name, how in turns * TURNS:
                load.under_load(
                    up[name].port, pictures[:clients], args.seconds / TURNS, how, found[name, how]
                )
            naive_rate = found[turns[0]].figures()["per_second"]
            for (name, how), each in found.items():
                figures = each.figures() | {"clients": clients}
                figures["ratio"] = figures["per_second"] / naive_rate
                name = f"{name}, {'queue' if how == 'queued' else '/run'}"
                rows.append(row("load", name, each.times, **figures))
                print(f"{name}, clients: {clients}, calls per second: {figures['per_second']:.1f}")
                for error in each.errors[:1]:
                    print(error)
        for name, server in up.items():
            peak = megabytes(server.pid, "VmHWM")
            ends.append(row("page", f"{name}: peak memory after load", megabytes=peak))
    print(verdict(rows))
    return sorted(rows, key=lambda each: each["what"]) + ends


def verdict(rows: list[dict]) -> str:
    """Whether the page reached the naive page's throughput with each number of clients."""
    ratios = {each["clients"]: each["ratio"] for each in rows if each["what"] == "page, queue"}
    shown = ", ".join(f"{ratio:.2f} with {clients}" for clients, ratio in ratios.items())
    answer = "yes" if min(ratios.values()) >= 1 - TOLERANCE else "no"
    return (
        f"Not slower than a naive Gradio page: {answer} (calls per second, page / naive page: "
        f"{shown} client{'s' * ([*ratios] != [1])}; {TOLERANCE:.0%} less counts as equal)"
    )


def memory_rows(args, classifier) -> list[dict]:
    """Memory of long work: the page under `args.soak` minutes of load, or, without these, the
    batch tab and evaluate.py on each of `args.sizes` pictures."""
    if args.soak:
        pictures = [lesion(seed) for seed in range(4)]
        with load.page(load.ours(classifier.folder), pictures[0]) as server:
            with load.sampled(server.pid, every=1) as samples:
                found = load.under_load(server.port, pictures, args.soak * 60)
        figures = found.figures() | {"clients": len(pictures), "seconds": found.seconds}
        figures |= {"megabytes": max(samples), "growth": load.growth(samples)}
        return [row("soak", "page under load", found.times, **figures)]
    costs = {"batch, memory beyond the page's": load.batch_cost, "evaluate.py": load.script_cost}
    rows = []
    for what, cost in costs.items():
        for count in args.sizes:
            seconds, more = cost(classifier.folder, count, args.dataset)
            figures = {"seconds": seconds, "megabytes": more, "per_second": count / seconds}
            rows.append(row("growth", f"{what}, {count} pictures", calls=count, **figures))
            print(f"{what}, {count} pictures: {seconds:.1f} s", flush=True)
    return rows


def published_rows() -> list[dict]:
    """The times that P1 prints (tables 5 and 6), measured on other machines."""
    from model.hub.card import PUBLISHED

    calls = PUBLISHED["latency_calls"]
    rows = [row("published", k, calls=calls, **ms) for k, ms in PUBLISHED["latency_ms"].items()]
    whole = PUBLISHED["whole_call_ms"].items()
    return rows + [row("published", f"whole call, {k}", mean=v) for k, v in whole]
