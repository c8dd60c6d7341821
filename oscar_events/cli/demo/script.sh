#!/bin/sh
# Turns a PNG picture grey, with nothing but Python's standard library.
set -eu
exec "${PYTHON:-python3}" -I - "$INPUT_FILE_PATH" "$TMP_OUTPUT_DIR/$(basename "$INPUT_FILE_PATH")" <<'END'
import struct
import sys
import zlib

BYTES_PER_PIXEL = {0: 1, 2: 3, 4: 2, 6: 4}  # by colour type: grey, RGB, grey and alpha, RGB and alpha


def paeth(left, above, corner):
    estimate = left + above - corner
    return min((left, above, corner), key=lambda byte: abs(estimate - byte))


with open(sys.argv[1], "rb") as file:
    picture = file.read()
if picture[:8] != b"\x89PNG\r\n\x1a\n":
    sys.exit("this is no PNG picture")

place, chunks = 8, {}
while place < len(picture):
    (length,) = struct.unpack(">I", picture[place : place + 4])
    kind = picture[place + 4 : place + 8]
    chunks[kind] = chunks.get(kind, b"") + picture[place + 8 : place + 8 + length]
    place += length + 12
width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
if depth != 8 or colour not in BYTES_PER_PIXEL or interlaced:
    sys.exit("this script reads 8-bit pictures without palette and interlacing only")

step = BYTES_PER_PIXEL[colour]
line = width * step
data = zlib.decompress(chunks[b"IDAT"])
above, grey = bytes(line), bytearray()
for y in range(height):
    start = y * (line + 1)
    kind, row = data[start], bytearray(data[start + 1 : start + 1 + line])
    for i in range(line):
        left = row[i - step] if i >= step else 0
        corner = above[i - step] if i >= step else 0
        guess = (0, left, above[i], (left + above[i]) // 2, paeth(left, above[i], corner))[kind]
        row[i] = (row[i] + guess) & 255
    above = row
    grey.append(0)
    for i in range(0, line, step):
        if step < 3:
            grey.append(row[i])
        else:
            grey.append((299 * row[i] + 587 * row[i + 1] + 114 * row[i + 2] + 500) // 1000)

header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
with open(sys.argv[2], "wb") as file:
    file.write(b"\x89PNG\r\n\x1a\n")
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(grey))), (b"IEND", b"")):
        file.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
print("made %d x %d pixels grey" % (width, height))
END
