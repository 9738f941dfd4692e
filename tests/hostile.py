"""Hostile and broken inputs, generated, each with the outcome that is right for it.

`cuts()` and `pictures()` are single files, `zips()` files for the batch tab, SHAPES and `outside()`
bodies of requests. An outcome is "answer", "sentence" (a refusal in words) or "either".
"""

import io
import json
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from made import drawing
from PIL import Image
from profiles import colours, slow, stored_as
from tiffs import tiff_of

ANSWER, SENTENCE, EITHER = "answer", "sentence", "either"


@dataclass(frozen=True)
class Case:
    """`like`: an RGB picture that must get the same answer, if any."""

    name: str
    data: bytes
    outcome: str
    like: Image.Image | None = None
    file: str = "lesion.jpg"


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    if kind == "HEIF":
        from pillow_heif import register_heif_opener

        register_heif_opener(thumbnails=False)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth=8, colour=2, rows=None, extra=b"") -> bytes:
    """A PNG of zeros; with `rows`, it holds fewer rows than its header claims."""
    row = bytes(1 + width * {0: 1, 2: 3, 6: 4}[colour] * depth // 8)
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(row) for _ in range(height if rows is None else rows))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = chunk(b"IDAT", data + packer.flush())
    return b"\x89PNG\r\n\x1a\n" + header + extra + data + chunk(b"IEND", b"")


def tiff(width, height) -> bytes:
    """A TIFF of one deflated strip of zeros that claims `width` x `height` RGB pixels."""
    strip = zlib.compress(bytes(3_000_000), 9)
    size = [(256, 4, width), (257, 4, height), (278, 4, height), (279, 4, len(strip))]
    kind = [(258, 3, 8), (259, 3, 8), (262, 3, 2), (273, 4, 8), (277, 3, 3)]
    tags = sorted(size + kind)
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory


def scans(side: int, count: int) -> bytes:
    """A progressive JPEG whose last scan is repeated `count` times."""
    data = saved(Image.new("L", (side, side), 128), "JPEG", progressive=True)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * count + b"\xff\xd9"


def rotated(upright: Image.Image, orientation: int, kind: str = "JPEG") -> bytes:
    """`upright` as a camera stores it with that EXIF orientation."""
    step = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    exif = Image.Exif()
    exif[274] = orientation
    stored = upright.transpose(step) if step is not None else upright
    return saved(stored, kind, quality=95, exif=exif.tobytes())


def cuts() -> list[Case]:
    """A JPEG, a PNG and a WebP cut off at every tenth byte."""
    small = drawing("mel", 1, (24, 18))
    return [
        # Near the end only checksums are missing, and a JPEG's last pixels may be complete.
        Case(f"{kind} cut off at {end}", data[:end], SENTENCE if end < len(data) - 60 else EITHER)
        for kind, data in ((k, saved(small, k)) for k in ("JPEG", "PNG", "WEBP"))
        for end in range(0, len(data) - 2, 10)
    ]


LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "ha">%s]>
<svg xmlns="http://www.w3.org/2000/svg"><text>&a9;</text></svg>""" % b"".join(
    b'<!ENTITY a%d "%s">' % (i, b"&a%s;" % (b"%d" % (i - 1) if i > 1 else b"") * 10)
    for i in range(1, 10)
)
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1/"/><text>&x;</text></svg>"""


@cache
def pictures() -> list[Case]:
    mel = drawing("mel", 3, (320, 240))
    jpeg, grey = saved(mel, "JPEG", quality=95), mel.convert("L")
    palette, clear = mel.quantize(64), mel.convert("RGBA")
    clear.putalpha(grey)
    white = Image.alpha_composite(Image.new("RGBA", mel.size, "white"), clear).convert("RGB")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    frames = [drawing(dx, 5, (320, 240)) for dx in ("nv", "vasc")]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x.jpg", jpeg)
    html = b"<!DOCTYPE html><script>alert(1)</script>"
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + os.urandom(200)
    bad_exif = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(90_000_000), 9))
    note = chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(90_000_000), 9))
    phone = drawing("nv", 7, (240, 320))
    film = b"\0\0\0\x18ftypmp42" + b"\xff\xda\0\x0c" * 500_000
    planes = np.asarray(mel).astype(np.uint16) * 257
    rough = np.random.default_rng(0).bytes(3000)
    one = {
        "empty": (b"", SENTENCE),
        "text": (b"hello\n" * 100, SENTENCE),
        "html": (html, SENTENCE),
        "SVG, entities": (LAUGHS, SENTENCE),
        "SVG, outside file": (OUTSIDE, SENTENCE),
        "PDF": (b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n%%EOF", SENTENCE),
        "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", SENTENCE),
        "random bytes": (rough, SENTENCE),
        "zip": (packed.getvalue(), SENTENCE),
        "zip bomb": (zip_of([("0.jpg", bytes(30_000_000))]), SENTENCE),
        "JPEG's first bytes, then noise": (jpeg[:300] + rough, EITHER),
        "PNG bomb": (png(50_000, 50_000, rows=100), SENTENCE),
        "PNG bomb, grey": (png(50_000, 50_000, 8, 0, rows=100), SENTENCE),
        "PNG of no size": (png(0, 0), SENTENCE),
        "PNG of 2^31 - 1": (png(2**31 - 1, 1, rows=0), SENTENCE),
        "TIFF bomb": (tiff(50_000, 50_000), SENTENCE),
        "TIFF that lacks pixels": (tiff(5_000, 5_000), SENTENCE),
        "GIF bomb": (b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(60), SENTENCE),
        "WebP of 40 megapixels": (
            saved(Image.new("RGB", (8000, 5000)), "WEBP", method=0),
            SENTENCE,
        ),
        "JPEG, 500 scans": (scans(2000, 500), SENTENCE),
        "JPEG, 60 scans of 64 megapixels": (scans(8000, 60), SENTENCE),
        "JPEG 2000": (saved(mel, "JPEG2000"), SENTENCE),
        "as large as may be": (png(8_000, 8_000, 8, 6), ANSWER),
        "as large as may be, 16 bit": (png(8_000, 8_000, 16, 0), ANSWER),
        "TIFF of planes of 16 bits": (tiff_of(planes, planar=True), SENTENCE),
        "colour profile of 90 MB": (png(40, 30, extra=profile), ANSWER),
        "note of 90 MB": (png(40, 30, extra=note), EITHER),
        "HEIC cut off": (saved(phone, "HEIF")[:-500], SENTENCE),
        "more than 25 MB": (jpeg + bytes(25_000_000), SENTENCE),
        "1 x 1": (saved(Image.new("RGB", (1, 1)), "PNG"), ANSWER),
        "1 x 20,000": (saved(Image.new("RGB", (1, 20_000)), "PNG"), ANSWER),
        "20,000 x 1": (saved(Image.new("RGB", (20_000, 1)), "PNG"), ANSWER),
    }
    like = {
        "JPEG": (jpeg, mel),
        "PNG": (saved(mel, "PNG"), mel),
        "CMYK": (cmyk(mel), mel),
        "16 bit": (saved(deep, "PNG"), grey.convert("RGB")),
        "grey": (saved(grey, "PNG"), grey),
        "grey with alpha": (saved(grey.convert("LA"), "PNG"), grey.convert("RGB")),
        "palette": (saved(palette, "PNG"), palette.convert("RGB")),
        "transparent": (saved(clear, "PNG"), white),
        "TIFF": (saved(mel, "TIFF"), mel),
        "animated WebP": (animated(frames, "WEBP", lossless=True), frames[0]),
        "animated PNG": (animated(frames, "PNG"), frames[0]),
        "animated GIF": (
            animated([f.quantize(64) for f in frames], "GIF"),
            frames[0].quantize(64).convert("RGB"),
        ),
        "JPEG and zip": (jpeg + packed.getvalue(), mel),
        "JPEG and HTML": (jpeg + html, mel),
        "JPEG, HTML in its comment": (saved(mel, "JPEG", quality=95, comment=html), mel),
        "broken EXIF": (bad_exif, mel),
        "motion photo": (saved(mel, "JPEG", quality=95, progressive=True) + film, mel),
        "slow colour profile": (saved(mel, "JPEG", quality=95, icc_profile=slow()), mel),
        "HEIC": (saved(phone, "HEIF", quality=95), phone),
        "HEIC, turned": (rotated(phone, 6, "HEIF"), phone),
    }
    for name in ("Display P3", "Adobe RGB"):
        data = saved(stored_as(mel, name), "PNG", icc_profile=colours(name))
        like[name] = (data, mel)
    like |= {f"EXIF {i}": (rotated(mel, i), mel) for i in range(1, 9)}
    names = ["x.png", "x.txt", "x.html", "../../../x.jpg", "%2e%2e%2fx.jpg", "con", " .jpg"]
    names += ["y" * 1000 + ".jpg", "a\u202egpj.exe", "nul\0.jpg", "<img src=x>.jpg"]
    return [
        *(Case(name, *case) for name, case in one.items()),
        *(Case(name, data, ANSWER, same) for name, (data, same) in like.items()),
        *(Case(f"named {name[:20]!r}", jpeg, ANSWER, mel, name) for name in names),
    ]


def cmyk(picture: Image.Image) -> bytes:
    return saved(picture.convert("CMYK"), "JPEG", quality=95)


def animated(frames, kind, **options) -> bytes:
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)


def zip_of(members, method=zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def zips() -> dict[str, bytes]:
    """Zips for the batch tab, some of which hold good pictures."""
    jpeg = saved(drawing("mel", 3, (320, 240)), "JPEG")
    slips = ["../../../tmp/slip.jpg", "/etc/slip.jpg", "..\\..\\slip.jpg", "C:\\slip.jpg"]
    lying = bytearray(zip_of([("0.png", bytes(60_000_000)), ("x.jpg", jpeg)]))
    for mark, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        struct.pack_into("<I", lying, lying.index(mark) + at, 1000)
    deep = zip_of([("x.jpg", jpeg)])
    for _ in range(30):
        deep = zip_of([("x.zip", deep)])
    return {
        "slip": zip_of([(name, jpeg) for name in slips]),
        "bomb": zip_of([("0.png", bytes(150_000_000)), ("x.jpg", jpeg)]),
        "bomb that lies": bytes(lying),
        "zips within zips": deep,
        "thousands of files": zip_of([(f"{i}.jpg", b"") for i in range(5000)]),
        "over-long names": zip_of([("n" * 30_000 + f"{i}.jpg", jpeg) for i in range(5)]),
        "cut off": zip_of([("x.jpg", jpeg)])[:-30],
        "nothing": zip_of([]),
    }


def request(path, **more) -> bytes:
    file = {"path": path, "meta": {"_type": "gradio.FileData"}} | more
    return json.dumps({"data": [file]}).encode()


# Bodies that are not requests of the right shape.
DATA = b"""1 [] [1] ["x"] [[]] {} [null] [NaN] [1,2,3,4] [{"a":1}] [{"path":1}] [{"path":{"a":1}}]
    [{"path":null,"url":5}] [{"__proto__":{}}] [{"path":"x","meta":[]}] [{"url":"data:,"}]
    [{"url":"data:image/png;base64,####"}]""".split()
DATA += [
    b'[{"path": "", "url": "data:text/html,<b>x</b>"}]',
    b'["' + b"x" * 1_000_000 + b'"]',
    b"[" + b'{"path":' * 500 + b"1" + b"}" * 500 + b"]",
]
SHAPES = [
    *(b'{"data": %s}' % data for data in DATA),
    *b'|{|[]|null|5|"x"|\xff\xfe|{"dat": []}'.split(b"|"),
    b"[" * 100_000,
    b'{"data": [' + b'{"path":' * 500,
]


def outside(port: int, picture: Path) -> list[bytes]:
    """Requests for files outside the upload folder, `picture` among them, and for addresses on the
    inner network."""
    files = """/etc/passwd ../../../../etc/passwd file:///etc/passwd /proc/self/environ /dev/zero
        app.py model/bundled/config.json . /""".split()
    files += ["", "x" * 5000, "nul\0.jpg", str(picture), f"file://{picture}"]
    hosts = """127.0.0.1 localhost 0.0.0.0 [::1] 2130706433 0x7f.1 127.1 user@127.0.0.1
        [::ffff:127.0.0.1] 127.0.0.1.nip.io""".split()
    addresses = [f"http://{host}:{port}/x.jpg" for host in hosts]
    addresses += [f"http://127.0.0.1:{port}/redirect", "\\\\127.0.0.1\\share\\x.jpg"]
    addresses += """http://169.254.169.254/latest/meta-data/ http://metadata.google.internal/
        ftp://127.0.0.1/x.jpg gopher://127.0.0.1:1/x http:// http://[ https://10.0.0.1/x.jpg""".split()
    paths = files + addresses
    bodies = [request(path) for path in paths]
    # Without the mark by which Gradio recognises a file.
    bodies += [json.dumps({"data": [{"path": path}]}).encode() for path in paths if path]
    bodies += [request(path, meta={"_type": "x"}) for path in files if path]
    urls = [*addresses, str(picture), f"file://{picture}"]
    return bodies + [json.dumps({"data": [{"url": url}]}).encode() for url in urls]
