"""Times of calls, as rows of one table: for benchmark.py."""

import csv
import os
import platform
import re
import statistics
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from model.folder import replacing, write_text

COLUMNS = (
    "part",
    "what",
    "clients",
    "calls",
    "mean",
    "std",
    "min",
    "max",
    "median",
    "p95",
    "ratio",
    "per_second",
    "errors",
    "seconds",
    "megabytes",
    "growth",
)
PACKAGES = (
    "gradio",
    "ai-edge-litert",
    "tensorflow",
    "keras",
    "onnxruntime",
    "openvino",
    "numpy",
    "pillow",
)


def timed(call, calls: int, warm: int = 3) -> list[float]:
    """Milliseconds of each of `calls` calls, after `warm` more."""
    times = []
    for _ in range(warm + calls):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1000)
    return times[warm:]


def row(part: str, what: str, times: list[float] | None = None, **more) -> dict:
    """A line of the table, its keys of COLUMNS; figures of `times`, milliseconds, if there are."""
    found = {"part": part, "what": what} | more
    if times:
        found |= {
            "calls": len(times),
            "mean": np.mean(times),
            "std": np.std(times),
            "min": min(times),
            "max": max(times),
            "median": statistics.median(times),
            "p95": np.quantile(times, 0.95),
        }
    return found


def written(value) -> str:
    """A figure in three digits or more; "" for none."""
    if isinstance(value, (float, np.floating)):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return "" if value is None else str(value)


def machine() -> str:
    """Processor, cores, its load before the measurement, date and versions: markdown."""
    cpu = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", cpu.read_text()) if cpu.exists() else []
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    busy = os.getloadavg()[0]
    return (
        f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, "
        f"{busy:.1f} of them busy before; {time.strftime('%d %B %Y')}.\n"
        f"Python {platform.python_version()}, {', '.join(found)}.\n"
    )


def as_markdown(rows: list[dict]) -> str:
    """One table for each part, with the columns that the part has."""
    tables = []
    for part in dict.fromkeys(row["part"] for row in rows):
        mine = [row for row in rows if row["part"] == part]
        columns = [c for c in COLUMNS[1:] if any(row.get(c) is not None for row in mine)]
        lines = [f"| {' | '.join([part, *columns[1:]])} |", "| --- " * len(columns) + "|"]
        lines += [f"| {' | '.join(written(row.get(c)) for c in columns)} |" for row in mine]
        tables.append("\n".join(lines))
    return "\n\n".join(tables) + "\n"


def write(rows: list[dict], path: Path, heading: str) -> None:
    """`path` .csv with all digits, and .md, each in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path.with_suffix(".csv")) as beside, open(beside, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for each in rows:
            writer.writerow(
                {k: round(float(v), 4) if isinstance(v, float) else v for k, v in each.items()}
            )
    write_text(path.with_suffix(".md"), f"{heading}\n{as_markdown(rows)}")
