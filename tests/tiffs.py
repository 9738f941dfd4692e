"""TIFFs of any layout, written by hand: PIL writes neither planes nor most depths."""

import struct
import zlib

import numpy as np

RGB, CMYK = 2, 5  # PhotometricInterpretation


def tiff_of(
    values: np.ndarray,
    planar: bool = False,
    order: str = "<",
    tile: int = 0,
    photometric: int = RGB,
    compressed: bool = False,
    fill: int = 1,
    depth: int = 0,
    **extra: int,
) -> bytes:
    """A TIFF of uint8, uint16 or float32 `values` [h, w, channels].

    planar: one plane a channel; otherwise the channels are interleaved
    order: "<" or ">", the order of bytes
    tile: side of the tiles, a multiple of 16; 0 for strips of 16 rows
    fill: FillOrder; 2 reverses the bits of each byte
    depth: bits per sample, if not those of `values`; 12 packs uint16
    extra: further tags of one short, as `_338=2`
    """
    h, w, channels = values.shape
    bits = depth or values.itemsize * 8
    planes = [values[..., c : c + 1] for c in range(channels)] if planar else [values]
    high, wide = (tile, tile) if tile else (16, w)
    parts = []
    for plane in planes:
        for top in range(0, h, high):
            for left in range(0, w, wide):
                part = plane[top : top + high, left : left + wide]
                if tile:
                    short = tile - part.shape[0], tile - part.shape[1]
                    part = np.pad(part, ((0, short[0]), (0, short[1]), (0, 0)))
                data = part.astype(values.dtype.newbyteorder(order)).tobytes()
                if bits == 12:
                    ones = np.unpackbits(part.astype(">u2").view(np.uint8)).reshape(-1, 16)
                    data = np.packbits(ones[:, 4:].reshape(len(part), -1), axis=1).tobytes()
                if fill == 2:
                    ones = np.unpackbits(np.frombuffer(data, np.uint8)).reshape(-1, 8)
                    data = np.packbits(ones[:, ::-1]).tobytes()
                parts.append(zlib.compress(data) if compressed else data)
    offsets = [8 + sum(map(len, parts[:i])) for i in range(len(parts))]
    tags = {
        256: (4, [w]),
        257: (4, [h]),
        258: (3, [bits] * channels),
        259: (3, [8 if compressed else 1]),
        262: (3, [photometric]),
        266: (3, [fill]),
        277: (3, [channels]),
        284: (3, [2 if planar else 1]),
        339: (3, [3 if values.dtype.kind == "f" else 1] * channels),
    }
    if tile:
        tags |= {322: (4, [tile]), 323: (4, [tile])}
    places = (324, 325) if tile else (273, 279)
    tags |= {places[0]: (4, offsets), places[1]: (4, [len(part) for part in parts])}
    if not tile:
        tags[278] = (4, [high])
    tags |= {int(tag[1:]): (3, [value]) for tag, value in extra.items()}
    body = b"".join(parts)
    start = 8 + len(body)
    after = start + 2 + 12 * len(tags) + 4
    entries, beyond = b"", b""
    for tag, (kind, numbers) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        if len(packed) > 4:
            place = struct.pack(order + "I", after + len(beyond))
            beyond += packed
        else:
            place = packed.ljust(4, b"\0")
        entries += struct.pack(order + "HHI", tag, kind, len(numbers)) + place
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(order + "HI", 42, start)
    return head + body + struct.pack(order + "H", len(tags)) + entries + bytes(4) + beyond
