"""What more pictures cost, in seconds and memory: for benchmark.py."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from model.labels import LABELS

ROOT = Path(__file__).parents[2]


def lesion(seed: int, size: tuple[int, int] = (600, 450), grain: float = 6) -> bytes:
    """A JPEG of a blob on skin, `size` (width, height), drawn; `grain` is the noise's deviation in
    grey levels, on which the length of the file depends."""
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
    """The list of a process' RssAnon in megabytes, which grows while the block runs."""
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


def batch_cost(folder: Path, count: int, dataset: str | None = None) -> dict:
    """Seconds, and megabytes more than before, of the batch tab's work and table on `count`
    pictures, past the page's bound."""
    code = (
        "import sys; from model.benchmark.cost import _batch; "
        "_batch(sys.argv[1], int(sys.argv[2]), sys.argv[3])"
    )
    command = [sys.executable, "-c", code, str(folder), str(count), dataset or ""]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the batch of {count} failed: {done.stderr[-500:]}")
    seconds, more = map(float, done.stdout.split()[-2:])
    return {"seconds": seconds, "megabytes": more}


def _batch(folder: str, count: int, dataset: str) -> None:
    from model.classifier import Classifier
    from model.page import answer, batch

    batch.MAX_PICTURES, batch.MAX_BYTES = count, 10**12
    with tempfile.TemporaryDirectory() as place:
        files = []
        for i, data in enumerate(_pictures(count, dataset)):
            files.append(Path(place) / f"{i:05d}.jpg")
            files[-1].write_bytes(data)
        classifier = Classifier(folder)
        before, start = megabytes(os.getpid()), time.perf_counter()
        with sampled(os.getpid()) as samples:
            rows = batch.classify_many(classifier, files)
            answer.table(rows, classifier.labels, "en")
            batch.write_csv(rows, Path(place) / "diagnoses.csv")
        print(time.perf_counter() - start, max([*samples, before]) - before)


def evaluate_cost(folder: Path, count: int, dataset: str | None = None) -> dict:
    """Seconds, and peak megabytes in memory, of evaluate.py on `count` pictures."""
    with tempfile.TemporaryDirectory() as place:
        source = write_pictures(Path(place) / "pictures", count, dataset)
        # A copy, as evaluate.py renews the folder's checksums.
        copy = shutil.copytree(folder, Path(place) / "model")
        command = [
            sys.executable,
            "evaluate.py",
            str(copy),
            "--part",
            "all",
            "--dataset",
            str(source),
            "--output",
            str(Path(place) / "output"),
            "--cache",
            str(Path(place) / "cache"),
        ]
        start = time.perf_counter()
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
            with sampled(process.pid) as samples:
                process.wait()
            if process.returncode:
                said.seek(0)
                raise RuntimeError(f"evaluate.py failed: {said.read().decode()[-500:]}")
        return {"seconds": time.perf_counter() - start, "megabytes": max(samples)}


def _pictures(count: int, dataset: str):
    """`count` encoded pictures: of a data set, over and over, or drawn."""
    if dataset:
        from model.data.dataset import load_rows

        rows = load_rows(dataset, need=())
        for i in range(count):
            yield rows.encoded(i % len(rows))
        return
    drawn = [lesion(seed) for seed in range(min(count, 50))]
    for i in range(count):
        yield drawn[i % len(drawn)]


def write_pictures(folder: Path, count: int, dataset: str | None) -> Path:
    """A data set of `count` pictures with HAM10000's columns, as parquet."""
    import datasets

    datasets.disable_progress_bars()

    def rows():
        for i, data in enumerate(_pictures(count, dataset or "")):
            yield {
                "image": {"bytes": data, "path": None},
                "image_id": f"made_{i:06d}",
                "lesion_id": f"made_{i:06d}",
                "dx": LABELS[i % len(LABELS)],
            }

    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as cache:
        table = datasets.Dataset.from_generator(rows, cache_dir=cache)
        table.cast_column("image", datasets.Image()).to_parquet(folder / "pictures.parquet")
    return folder
