"""The demo's pictures: drawn by a formula, so that it is known what must become of them.

In:  a picture's number. Out: a PNG; what is wrong with a PNG said to be its grey version.
Not here: making it grey (script.sh, which shares nothing with this module: it is judged by it).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

WIDTH, HEIGHT = 96, 64
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB, _GREY = 2, 0  # colour types of the PNG specification
# Rounding may go either way, no more.
_TOLERANCE = 1.0


def pixel(number: int, x: int, y: int) -> tuple[int, int, int]:
    """Return red, green and blue of one pixel: a sky that differs from picture to picture, a sun that wanders."""
    sun_x, sun_y = (17 * number) % WIDTH, 12 + (7 * number) % 24
    if (x - sun_x) ** 2 + (y - sun_y) ** 2 < 100:
        return 255, 220 - (11 * number) % 120, 40
    return (37 * number + 2 * y) % 256, (90 + x + 3 * y) % 256, (255 - 2 * y + 53 * number) % 256


def draw(number: int) -> bytes:
    """Return the picture of this number as PNG; no two numbers below a thousand give the same."""
    rows = bytearray()
    for y in range(HEIGHT):
        rows.append(0)  # not filtered
        for x in range(WIDTH):
            rows += bytes(pixel(number, x, y))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, _RGB, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(rows))) + _chunk(b"IEND", b"")


def fault(number: int, result: bytes) -> str:
    """Return why this is not the picture of that number in grey; empty if it is."""
    try:
        rows = list(_grey_rows(result))
    except (ValueError, struct.error, zlib.error) as error:
        return str(error)
    for y, row in enumerate(rows):
        for x, found in enumerate(row):
            red, green, blue = pixel(number, x, y)
            luminance = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601
            if abs(found - luminance) > _TOLERANCE:
                return f"pixel ({x}, {y}) is {found}, and its luminance is {luminance:.1f}"
    return ""


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _grey_rows(png: bytes) -> Iterator[bytes]:
    """Return the rows of a grey PNG of our size. Raises ValueError, zlib.error or struct.error if it is none."""
    if not png.startswith(_SIGNATURE):
        raise ValueError("it is no PNG")
    header, packed = b"", b""
    for kind, body in _chunks(png):
        header = body if kind == b"IHDR" else header
        packed += body if kind == b"IDAT" else b""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if (depth, colour, interlaced) != (8, _GREY, 0):
        raise ValueError(f"it is not grey: colour type {colour}, {depth} bits")
    if (width, height) != (WIDTH, HEIGHT):
        raise ValueError(f"it has {width} x {height} pixels instead of {WIDTH} x {HEIGHT}")
    size = (WIDTH + 1) * HEIGHT
    pixels = zlib.decompressobj().decompress(packed, size + 1)
    if len(pixels) != size:
        raise ValueError("its pixels are not as many as it says")
    return _unfiltered(pixels)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_SIGNATURE)
    while place < len(png):
        length, kind = struct.unpack_from(">I4s", png, place)
        body = png[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack_from(">I", png, place + 8 + length)
        if checksum != zlib.crc32(kind + body):
            raise ValueError(f"its chunk {kind!r} is damaged")
        yield kind, body
        place += length + 12


def _unfiltered(pixels: bytes) -> Iterator[bytes]:
    above = bytes(WIDTH)
    for start in range(0, len(pixels), WIDTH + 1):
        kind, row = pixels[start], bytearray(pixels[start + 1 : start + 1 + WIDTH])
        for x in range(WIDTH):
            left, corner = (row[x - 1], above[x - 1]) if x else (0, 0)
            row[x] = (row[x] + _predicted(kind, left, above[x], corner)) % 256
        yield bytes(row)
        above = bytes(row)


def _predicted(kind: int, left: int, above: int, corner: int) -> int:
    match kind:
        case 0:
            return 0
        case 1:
            return left
        case 2:
            return above
        case 3:
            return (left + above) // 2
        case 4:
            estimate = left + above - corner
            return min((abs(estimate - byte), order, byte) for order, byte in enumerate((left, above, corner)))[2]
    raise ValueError(f"a row has the unknown filter {kind}")
