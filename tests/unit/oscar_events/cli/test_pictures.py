"""The demo's judge: it accepts a grey picture however it is written, and nothing else."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from oscar_events.cli.demo.pictures import HEIGHT, WIDTH, draw, fault, pixel

Rows = list[list[int]]
SCRIPT = Path(str(resources.files("oscar_events.cli.demo"))) / "script.sh"


def png(rows: Rows, filters: Callable[[int], int] = lambda y: 0, colour: int = 0, step: int = 1) -> bytes:
    """Write a picture; filters says which of PNG's five filters a row gets. step: bytes per pixel."""
    data, above = bytearray(), [0] * len(rows[0])
    for y, row in enumerate(rows):
        left = [0] * step + row[:-step]
        corner = [0] * step + above[:-step]
        around = zip(left, above, corner, strict=True)
        kind = filters(y)
        guesses = [(0, a, b, (a + b) // 2, min((a, b, c), key=lambda one: abs(a + b - c - one))) for a, b, c in around]
        data += bytes([kind, *((byte - guess[kind]) % 256 for byte, guess in zip(row, guesses, strict=True))])
        above = row
    header = struct.pack(">IIBBBBB", len(rows[0]) // step, len(rows), 8, colour, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(data))), (b"IEND", b""))
    chunks = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def grey(number: int) -> Rows:
    weights = (0.299, 0.587, 0.114)
    return [
        [round(sum(w * c for w, c in zip(weights, pixel(number, x, y), strict=True))) for x in range(WIDTH)]
        for y in range(HEIGHT)
    ]


@pytest.mark.parametrize("filters", [lambda y: 0, lambda y: y % 5, lambda y: 4], ids=["none", "all five", "Paeth"])
def test_the_right_grey_is_accepted_however_its_rows_are_filtered(filters: Callable[[int], int]) -> None:
    assert fault(3, png(grey(3), filters)) == ""


def test_a_single_wrong_pixel_is_seen() -> None:
    rows = grey(3)
    rows[40][50] = (rows[40][50] + 2) % 256
    assert "pixel (50, 40)" in fault(3, png(rows))


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (draw(3), "not grey"),  # a script that only copies
        (b"", "no PNG"),
        (b"\x89PNG\r\n\x1a\n", "unpack"),  # cut off
        (png(grey(3))[:-30], ""),  # cut off in the middle of the pixels
        (png(grey(3)).replace(b"IDAT", b"IDAX"), "damaged"),
        (png(grey(4)), "luminance"),  # somebody else's result
        (png(grey(3)[:-1]), "pixels instead of"),
        (png(grey(3), lambda y: 0, colour=4, step=2), "not grey"),
    ],
)
def test_what_is_not_the_grey_picture_is_refused_with_the_reason(result: bytes, said: str) -> None:
    found = fault(3, result)
    assert found
    assert said in found


def test_all_pictures_of_a_demo_are_different() -> None:
    assert len({draw(number) for number in range(1, 501)}) == 500


def run_script(picture: bytes, directory: Path) -> bytes:
    source = directory / "a picture.png"
    source.write_bytes(picture)
    (directory / "out").mkdir()
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHON": sys.executable,
        "INPUT_FILE_PATH": os.fspath(source),
        "TMP_OUTPUT_DIR": os.fspath(directory / "out"),
    }
    subprocess.run(["/bin/sh", SCRIPT], env=environment, check=True, timeout=60)
    return (directory / "out" / source.name).read_bytes()


def test_the_script_reads_rgb_of_every_filter(tmp_path: Path) -> None:
    rows = [[byte for x in range(WIDTH) for byte in pixel(9, x, y)] for y in range(HEIGHT)]
    assert fault(9, run_script(png(rows, lambda y: y % 5, colour=2, step=3), tmp_path)) == ""


def test_the_script_reads_pictures_that_are_grey_already(tmp_path: Path) -> None:
    assert fault(9, run_script(png(grey(9), lambda y: y % 5), tmp_path)) == ""


def test_the_script_refuses_what_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run_script(b"GIF89a", tmp_path)
