"""Measure how fast a model folder classifies on this machine, by itself and as a page. Prints a
table and writes it, with all figures as CSV, into results/.

    python benchmark.py                        everything for the bundled model: some five minutes
    python benchmark.py runs/NAME              another model folder
    python benchmark.py --parts calls,load     some parts: network, serving, picture, calls, load
    python benchmark.py --soak 10              ten minutes of load: how much the memory grows
    python benchmark.py --growth               batch tab and evaluate.py on up to 10,000 pictures
    python benchmark.py --growth --dataset ../shared/ham10000      the same on real pictures

Times are milliseconds. Ratios are to the published setup: InceptionResNetV2 in float32 at 299x299,
one TF Lite interpreter with one thread per core, one request at a time. Its weights are random,
which does not affect the times. The other runtimes that are installed (pip install -r
requirements-benchmark.txt) run the same network. Under load, the page is compared with a naive
one: the same file, one thread per core, Gradio's defaults, and so one call at a time. The clients
run on this machine too and take their share of it.
"""

import argparse
import os
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path

from model.packages import name_missing

name_missing("requirements-train.txt")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as in train.py

import numpy as np

from model.benchmark import measures
from model.benchmark.measures import row, timed
from model.data.dataset import default_cache
from model.folder import BUNDLED, TFLITE, WEIGHTS, check_writable, errors_in_words, new_folder

RESULTS = Path(__file__).parent / "results"
PUBLISHED = "inception_resnet_v2", 299, 299
BASE = "TF Lite, float32: the published way"
# File of the published network: quantisation of convert.py, or format of Keras's export.
FORMS = {
    "float32.tflite": "none",
    "dynamic.tflite": "dynamic",
    "int8.tflite": "int8",
    "model.onnx": "onnx",
    "model.xml": "openvino",
}
PARTS = "network", "serving", "picture", "calls", "load"
# Options that a kind of measurement does not use.
IGNORED = {
    "parts": ("sizes", "dataset"),
    "growth": ("parts", "calls", "seconds", "clients"),
    "soak": ("parts", "calls", "seconds", "clients", "growth", "sizes", "dataset"),
}


def parse(arguments=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage="benchmark.py [FOLDER] [OPTION ...]   (--help explains the options)",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folder", nargs="?", default=str(BUNDLED), help="model folder (default: the bundled one)")
    add("--parts", default=",".join(PARTS), help="parts to measure (default: %(default)s)")
    add("--calls", type=int, default=30, help="timed calls per row (default: 30, as published)")
    add("--seconds", type=float, default=6, help="seconds of load per row (default: %(default)s)")
    add("--clients", type=counts, default="1,4,16,32", help="at once (default: %(default)s)")
    add("--soak", type=float, metavar="MINUTES", help="measure only memory, under load")
    add("--growth", action="store_true", help="measure only memory and time, of --sizes pictures")
    add("--sizes", type=counts, default="100,1000,10000", help="default: %(default)s")
    add("--dataset", help="pictures for --growth: Hub id or folder (default: drawn ones)")
    add("--output", default=str(RESULTS), help="folder of the tables (default: results)")
    add("--cache", default=default_cache(), help="takes 800 MB (default: %(default)s)")
    args = parser.parse_args(arguments)
    kind = "soak" if args.soak else "growth" if args.growth else "parts"
    usual = parser.parse_args([])
    for option in IGNORED[kind]:
        if getattr(args, option) != getattr(usual, option):
            how = "without --growth" if kind == "parts" else f"with --{kind}"
            parser.error(f"--{option} has no effect {how}; leave it out")
    args.parts = args.parts.split(",")
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"--parts knows {', '.join(PARTS)}; not {', '.join(sorted(unknown))}")
    return args


def counts(text: str) -> list[int]:
    """Whole numbers of at least 1, separated by commas. Raises ValueError, for argparse."""
    numbers = [int(number) for number in text.split(",")]
    if min(numbers) < 1:
        raise ValueError
    return numbers


@cache
def published_network():
    """The published network with random weights."""
    import keras

    from model.network.network import build_network

    architecture, height, width = PUBLISHED
    keras.utils.set_random_seed(0)
    network = build_network(architecture, height, width, 7, head="flatten")
    network(np.zeros((1, height, width, 3), np.float32))  # Keras's ONNX export needs one call
    return network


def published_file(form: str, cache_folder: Path) -> Path:
    """The published network in one of FORMS, made if it is not there yet."""
    architecture, height, width = PUBLISHED
    name = f"benchmark-{architecture}-{height}x{width}-keras{version('keras')}"
    folder = cache_folder / name / form
    if not folder.is_dir():
        import convert

        print(f"making {form} ...", flush=True)
        network = published_network()
        with new_folder(folder) as beside:
            if form.endswith(".tflite"):
                config = {"head": "flatten", "input": {"height": height, "width": width}}
                config["calibration"] = {"temperature": 1.0}
                shape = 8, height, width, 3
                pictures = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
                content = convert.to_tflite(network, config, FORMS[form], pictures)
                (beside / form).write_bytes(content)
            else:
                network.export(str(beside / form), format=FORMS[form], verbose=False)
    return folder / form


def network_rows(args, classifier) -> list[dict]:
    """The network alone: the folder's and the published one, under each runtime."""
    rows = []

    def add(what, size, make):
        """A row for the call that `make` returns; an error becomes a printed line."""
        try:
            call = make()
            images = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
            rows.append(row("network", what, timed(lambda: call(images), args.calls)))
            print(f"{what}: {rows[-1]['median']:.1f} ms", flush=True)
        except ImportError as error:
            print(f"{what}: not installed ({error.name})")
        except Exception as error:  # runtimes and exporters raise many kinds
            print(f"{what}: cannot run here ({str(error).strip().splitlines()[0][:200]})")

    def own_network():
        from model.network.network import load_network

        return load_network(classifier.folder)[0]

    file, size = classifier.folder / TFLITE, (classifier.height, classifier.width)
    name = f"{classifier.config['architecture']} {size[0]}x{size[1]}"
    add(f"{name}, one thread per core", size, lambda: measures.tflite(file))
    add(f"{name}, one thread, as the page runs it", size, lambda: measures.tflite(file, 1))
    add(f"{name}, CompiledModel", size, lambda: measures.compiled(file))
    add(f"{name}, OpenVINO on the .tflite", size, lambda: measures.openvino(file))
    if (classifier.folder / WEIGHTS).is_file():
        add(f"{name}, Keras predict", size, lambda: partial(own_network().predict, verbose=0))
    architecture, *size = PUBLISHED
    name = f"{architecture} {size[0]}x{size[1]}"
    for what, runtime, form in (
        (BASE, measures.tflite, "float32.tflite"),
        ("TF Lite, float32, one thread", partial(measures.tflite, threads=1), "float32.tflite"),
        ("TF Lite, dynamic int8", measures.tflite, "dynamic.tflite"),
        ("TF Lite, dynamic int8, CompiledModel", measures.compiled, "dynamic.tflite"),
        ("TF Lite, full int8", measures.tflite, "int8.tflite"),
        ("OpenVINO on the dynamic int8 .tflite", measures.openvino, "dynamic.tflite"),
        ("OpenVINO on the full int8 .tflite", measures.openvino, "int8.tflite"),
        ("OpenVINO on its own export", measures.openvino, "model.xml"),
        ("ONNX Runtime, float32", measures.onnx, "model.onnx"),
    ):
        add(f"{name}, {what}", size, lambda: runtime(published_file(form, Path(args.cache))))
    add(f"{name}, Keras predict", size, lambda: partial(published_network().predict, verbose=0))
    base = [each["median"] for each in rows if each["what"].endswith(BASE)]
    if not base:
        print("No ratios: the published network could not be measured.")
    for each in rows:
        each["ratio"] = each["median"] / base[0] if base else None
    return rows


def main(arguments=None) -> list[dict]:
    args = parse(arguments)
    check_writable(args.output, "--output")
    check_writable(args.cache, "--cache")
    from model.classifier import Classifier

    classifier = Classifier(args.folder)
    heading = f"# Speed\n\n`{classifier.folder.name}` on {measures.machine()}"
    print(heading, flush=True)
    if args.soak or args.growth:
        name, rows = "soak" if args.soak else "growth", measures.memory_rows(args, classifier)
    else:
        # The page first: the other parts leave several runtimes and their threads in this process.
        parts = {
            "load": measures.load_rows,
            "calls": measures.call_rows,
            "picture": measures.picture_rows,
            "serving": measures.serving_rows,
            "network": network_rows,
        }
        found = {name: of(args, classifier) for name, of in parts.items() if name in args.parts}
        rows = [each for name in PARTS for each in found.get(name, [])] + measures.published_rows()
        name = "benchmark"
    measures.write(rows, Path(args.output) / name, heading)
    print(measures.as_markdown(rows))
    print(f"{name}.csv and {name}.md are in {args.output}")
    return rows


if __name__ == "__main__":
    with errors_in_words("benchmark.py"):
        main()
