"""Whether a TF Lite file answers as the Keras weights do that it was converted from."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from model.folder import VARIANTS

AGREEMENT = 0.98  # the least share of pictures with the same first answer


def answers(path: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A TF Lite file's probabilities [n, k], familiarity [n] and calibrated logits [n, k] of
    `images`, uint8 [n, h, w, 3]. The familiarity is NaN if the file has no such output."""
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(path), num_threads=os.cpu_count()).get_signature_runner()
    rows = []
    for image in tqdm(images, desc="comparing", file=sys.stdout):
        out = run(pixels=image[None].astype(np.float32))
        familiar = out["familiarity"][0] if "familiarity" in out else np.nan
        logits = out["evidence"][0].mean(axis=(0, 1), dtype=np.float64)
        rows.append((out["probabilities"][0], familiar, logits))
    return tuple(np.stack(column) for column in zip(*rows))


def compare(ours: np.ndarray, probabilities: np.ndarray) -> dict:
    """Agreement of TF Lite's probabilities [n, k] with Keras'."""
    differences = np.abs(ours - probabilities).max(axis=1)
    return {
        "images": len(ours),
        "top_1_agreement": float((ours.argmax(1) == probabilities.argmax(1)).mean()),
        "largest_difference": float(differences.max()),
        "mean_largest_difference": float(differences.mean()),
    }


def compared(path: Path, ours: np.ndarray, probabilities: np.ndarray) -> dict:
    """`compare` for the TF Lite file `path`, and its size in `megabytes`; also printed."""
    result = {"megabytes": round(path.stat().st_size / 1e6, 2)} | compare(ours, probabilities)
    print(
        f"{path.name}: {result['megabytes']:.1f} MB; top-1 agreement with Keras on "
        f"{result['images']} validation images {result['top_1_agreement']:.2%}, largest "
        f"probability difference {result['largest_difference']:.4f} (mean "
        f"{result['mean_largest_difference']:.4f})"
    )
    return result


def write_variants(
    folder: Path,
    write: Callable[[str], bytes],
    precisions: list[str],
    images: np.ndarray,
    expected: np.ndarray,
) -> dict:
    """Write the files of these precisions into `folder`, and return `variants` of metrics.json.

    write(precision): the bytes of a file; images: uint8 [n, h, w, 3]; expected: Keras'
    probabilities [n, k] of them. A file that agrees with these too rarely is left out.
    """
    variants = {}
    for precision in dict.fromkeys(precisions):
        path = folder / VARIANTS[precision]
        path.write_bytes(write(precision))
        result = compared(path, answers(path, images)[0], expected)
        if result["top_1_agreement"] < AGREEMENT:
            path.unlink()
            print(f"{path.name} was left out: its agreement is less than {AGREEMENT:.0%}.")
        else:
            variants[precision] = {"file": path.name} | result
    return variants
