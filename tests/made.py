"""A small synthetic data set with HAM10000's columns: drawn lesions, one colour a diagnosis."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from model.labels import LABELS

COLOURS = {
    "akiec": (200, 60, 60),
    "bcc": (60, 160, 200),
    "bkl": (200, 180, 40),
    "df": (120, 60, 200),
    "mel": (30, 30, 30),
    "nv": (120, 70, 30),
    "vasc": (230, 30, 120),
}

# README.md of a data set on the Hub with three splits, like that of marmal88/skin_cancer.
CARD = """---
license: cc-by-nc-4.0
configs:
- config_name: default
  data_files:
  - {split: train, path: data/train-*.parquet}
  - {split: validation, path: data/validation-*.parquet}
  - {split: test, path: data/test-*.parquet}
---
"""


def drawing(dx: str, seed: int, size=(80, 60)) -> Image.Image:
    """A blob in the diagnosis' colour on skin, with noise. `size` is (width, height) in pixels."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", size, (230, 190, 170))
    x, y = rng.uniform(0.35, 0.65, 2) * size
    r = rng.uniform(0.2, 0.35) * min(size)
    ImageDraw.Draw(picture).ellipse((x - r, y - r, x + r, y + r), fill=COLOURS[dx])
    noise = rng.normal(0, 6, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


def through_lens(picture: Image.Image, outside: float, aside=(0.0, 0.0)) -> Image.Image:
    """The picture as a round lens shows it: black outside a circle whose middle is `aside` of the
    picture's, in widths and heights. Were it in the middle, a share `outside` would be black."""
    width, height = picture.size
    y, x = np.mgrid[:height, :width] + 0.5
    x, y = x - width / 2, y - height / 2
    radius = np.quantile(np.hypot(x, y), 1 - outside)
    pixels = np.array(picture)
    pixels[np.hypot(x - aside[0] * width, y - aside[1] * height) > radius] = 0
    return Image.fromarray(pixels)


def encode(picture: Image.Image, kind: str = "JPEG", quality: int = 95) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=quality)
    return buffer.getvalue()


def made_rows(per_label: int = 30, views: int = 3, seed: int = 0) -> list[dict]:
    """Rows with HAM10000's columns. The last `views` pictures of each label show one lesion.
    Another `seed`, in thousands, gives other pictures."""
    rows = []
    for k, dx in enumerate(LABELS):
        for i in range(per_label):
            lesion = min(i, per_label - views)
            number = k * per_label + i
            rows.append(
                {
                    "image": {"bytes": encode(drawing(dx, seed + number)), "path": None},
                    "image_id": f"ISIC_{number * 7919 % 1000003:07d}",
                    "lesion_id": f"HAM_{k:03d}{lesion:04d}",
                    "dx": dx,
                    "dx_type": "histo",
                    "age": float(20 + number % 60),
                    "sex": "female" if number % 2 else "male",
                    "localization": "back",
                    "dataset": "rosendahl" if number % 3 else "vidir_modern",
                }
            )
    return rows


def write_dataset(folder: Path, rows: list[dict], split: str = "train") -> Path:
    """Write rows as Parquet, so that `datasets.load_dataset(folder)` reads them like a Hub id."""
    import datasets

    (folder / "data").mkdir(parents=True, exist_ok=True)
    table = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())
    table.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder
