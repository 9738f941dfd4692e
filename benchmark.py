"""Measure how fast a model folder classifies here, by itself and as a page: prints a table and
writes it, with all figures as CSV, into results/.

    python benchmark.py                        the bundled model, all of it: some five minutes
    python benchmark.py runs/NAME              another model folder
    python benchmark.py --parts calls,load     some of it: network, picture, calls, load
    python benchmark.py --soak 10              ten minutes of load; how much the memory grows
    python benchmark.py --growth               batch and evaluate.py on 100, 1,000, 10,000 pictures
    python benchmark.py --growth --dataset ../shared/ham10000      on those instead of drawn ones

All times are milliseconds on this machine. Ratios are to the published way: InceptionResNetV2 in
float32 at 299x299, one TF Lite interpreter, one request at a time, here with a thread a core. It is
built with random weights, which take as long as trained ones. Beside it the runtimes that are
installed (pip install -r requirements-benchmark.txt) run the same network. A page under load is
held against a naive one: the same file, a thread a core, Gradio as it comes, which is one call at
a time. Clients run on this machine too and take their share of it.
"""

import argparse
import os
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as in train.py

import numpy as np

from model.benchmark import measures, runtimes
from model.benchmark.load import LoadError
from model.benchmark.timing import as_markdown, machine, row, timed, write
from model.classifier import Classifier
from model.folder import BUNDLED, TFLITE, WEIGHTS, ModelFolderError, new_folder
from model.hub import card

ROOT = Path(__file__).parent
LATENCY_CALLS = card.PUBLISHED["latency_calls"]
PUBLISHED = "inception_resnet_v2", 299, 299
CLIENTS = 1, 4, 16, 32
PARTS = "network", "serving", "picture", "calls", "load"
SIZES = 100, 1_000, 10_000
BASE = "TF Lite, float32: the published way"


def parse(arguments=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", default=str(BUNDLED), help="model folder")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--calls", type=int, default=LATENCY_CALLS, help="timed calls of a row")
    parser.add_argument("--seconds", type=float, default=6, help="of load for each row")
    parser.add_argument("--clients", default=",".join(map(str, CLIENTS)))
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="load for so long instead")
    parser.add_argument("--growth", action="store_true", help="cost of more pictures instead")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="pictures of --growth")
    parser.add_argument("--dataset", help="pictures for --growth: Hub id or folder")
    parser.add_argument("--output", default=str(ROOT / "results"), help="folder of the tables")
    parser.add_argument(
        "--cache",
        default=os.environ.get("LESION_CACHE", Path.home() / ".cache" / "skin-lesion"),
        help="folder for the published network's files, some 800 MB",
    )
    args = parser.parse_args(arguments)
    args.parts = args.parts.split(",")
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"--parts knows {', '.join(PARTS)}; not {', '.join(sorted(unknown))}")
    args.clients = [int(n) for n in args.clients.split(",")]
    args.sizes = [int(n) for n in args.sizes.split(",")]
    return args


def published_network(cache: Path) -> dict:
    """{form: path} of the published network with random weights, and "keras", the network. What
    cannot be made here is said and left out."""
    import keras

    import convert
    from model.network.network import build_network

    architecture, height, width = PUBLISHED
    keras.utils.set_random_seed(0)
    network = build_network(architecture, height, width, 7, head="flatten")
    config = {"head": "flatten", "input": {"height": height, "width": width}} | {
        "calibration": {"temperature": 1.0}
    }
    pictures = np.random.default_rng(0).integers(0, 256, (8, height, width, 3), dtype=np.uint8)

    def quantized(kind, path):
        path.write_bytes(convert.to_tflite(network, config, kind, pictures))

    def exported(kind, path):
        network.export(str(path), format=kind, verbose=False)

    forms = {
        "float32.tflite": partial(quantized, "none"),
        "dynamic.tflite": partial(quantized, "dynamic"),
        "int8.tflite": partial(quantized, "int8"),
        "model.onnx": partial(exported, "onnx"),
        "model.xml": partial(exported, "openvino"),
    }
    network(pictures[:1].astype(np.float32))  # or Keras does not export to ONNX
    found = {"keras": network}
    for name, make in forms.items():
        folder = cache / f"benchmark-{architecture}-{height}x{width}-keras{version('keras')}" / name
        try:
            if not folder.is_dir():
                print(f"making {name} ...", flush=True)
                with new_folder(folder) as beside:
                    make(beside / name)
            found[name] = folder / name
        except Exception as error:  # exporters raise many kinds
            print(f"{name} cannot be made here: {str(error).strip().splitlines()[0][:200]}")
    return found


def network_rows(args, classifier: Classifier) -> list[dict]:
    """Classification alone: the published network under each runtime, and the folder's."""
    rows = []
    architecture, *size = PUBLISHED

    def add(what, make, *arguments, shape=size, **options):
        try:
            call = make(*arguments, **options)
            image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
            rows.append(row("network", what, timed(lambda: call(image), args.calls)))
            print(f"{what}: {rows[-1]['median']:.1f} ms", flush=True)
        except ImportError as error:
            print(f"{what}: not installed ({error.name})")
        except Exception as error:  # runtimes raise many kinds on what they cannot run
            print(f"{what}: cannot run here ({str(error).strip().splitlines()[0][:200]})")

    ours, here = classifier.folder / TFLITE, (classifier.height, classifier.width)
    name = f"{classifier.config['architecture']} {here[0]}x{here[1]}"
    add(f"{name}, a thread a core", lambda: classifier.run, shape=here)
    add(f"{name}, one thread, as the page runs it", runtimes.tflite, ours, 1, shape=here)
    add(f"{name}, CompiledModel", runtimes.compiled, ours, shape=here)
    add(f"{name}, OpenVINO on the .tflite", runtimes.openvino, ours, shape=here)
    try:
        forms = published_network(Path(args.cache))
    except ImportError as error:
        print(f"No published network, and so no ratios: {error.name} is not installed.")
        return rows
    if (classifier.folder / WEIGHTS).is_file():
        from model.network.network import load_network

        network, _ = load_network(classifier.folder)
        add(f"{name}, Keras predict", runtimes.keras_predict, network, shape=here)
    name = f"{architecture} {size[0]}x{size[1]}"
    float32, dynamic = forms.get("float32.tflite"), forms.get("dynamic.tflite")
    int8, own = forms.get("int8.tflite"), forms.get("model.xml")
    for what, make, path, options in (
        (BASE, runtimes.tflite, float32, {}),
        ("TF Lite, float32, one thread", runtimes.tflite, float32, {"threads": 1}),
        ("TF Lite, dynamic int8", runtimes.tflite, dynamic, {}),
        ("TF Lite, dynamic int8, CompiledModel", runtimes.compiled, dynamic, {}),
        ("TF Lite, full int8", runtimes.tflite, int8, {}),
        ("OpenVINO on the dynamic int8 .tflite", runtimes.openvino, dynamic, {}),
        ("OpenVINO on the full int8 .tflite", runtimes.openvino, int8, {}),
        ("OpenVINO on its own export", runtimes.openvino, own, {}),
        ("ONNX Runtime, float32", runtimes.onnx, forms.get("model.onnx"), {}),
    ):
        if path:
            add(f"{name}, {what}", make, path, **options)
    add(f"{name}, Keras predict", runtimes.keras_predict, forms["keras"])
    return rows


def with_ratios(rows: list[dict]) -> list[dict]:
    """Each row of the networks over the published way, by the medians."""
    base = [r["median"] for r in rows if r["what"].endswith(BASE)]
    for each in rows:
        if base and each["part"] == "network":
            each["ratio"] = each["median"] / base[0]
    return rows


def main(arguments=None) -> list[dict]:
    args = parse(arguments)
    classifier = Classifier(args.folder)
    heading = f"# Speed\n\n`{classifier.folder.name}` on {machine()}"
    print(heading, flush=True)
    if args.soak:
        name, rows = "soak", measures.soak_rows(args, classifier)
    elif args.growth:
        name, rows = "growth", measures.growth_rows(args, classifier)
    else:
        # The page first: afterwards this process holds several runtimes and their threads.
        made = {
            "load": measures.load_rows,
            "calls": measures.call_rows,
            "picture": measures.picture_rows,
            "serving": measures.pool_rows,
            "network": network_rows,
        }
        parts = {part: make(args, classifier) for part, make in made.items() if part in args.parts}
        rows = [each for part in PARTS for each in parts.get(part, [])]
        name, rows = "benchmark", with_ratios(rows) + measures.paper_rows()
    write(rows, Path(args.output) / name, heading)
    print(as_markdown(rows))
    print(f"{name}.csv and {name}.md are in {args.output}")
    return rows


if __name__ == "__main__":
    try:
        main()
    except (ModelFolderError, LoadError) as error:
        sys.exit(f"benchmark.py: {error}")
