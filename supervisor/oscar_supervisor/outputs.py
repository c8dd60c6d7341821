"""Which files become which objects: selection and keys as OSCAR's users know them.

In:  names of files relative to TMP_OUTPUT_DIR, the service's outputs. Out: placements.
Not here: finding the files (output_files.py), putting them (pipeline.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from oscar_events.errors import OscarEventsError
from oscar_events.job import Output
from oscar_events.paths import printable

# What faas-supervisor strips from a relative name (reference/supervisor.md §8): whitespace and slashes, in any order.
_STRIPPED = b" \t\n\r\v\f/"


class OutputRefusedError(OscarEventsError):
    """The script made files that cannot become the objects they should. The message names them."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One file that becomes one object. file: name relative to TMP_OUTPUT_DIR."""

    file: bytes
    provider: str
    bucket: str
    key: bytes


def place(files: Iterable[bytes], outputs: Iterable[Output]) -> list[Placement]:
    """Return what is to be put, output by output, each object once.

    Raises OutputRefusedError if two files would become one object, or nothing is left of a name.
    """
    files = sorted(files)
    placed: dict[tuple[str, str, bytes], Placement] = {}
    for output in outputs:
        for file in files:
            name = object_name(file)
            if not _is_selected(name, output):
                continue
            folder = output.folder.encode()
            placement = Placement(file, output.provider, output.bucket, folder + b"/" + name if folder else name)
            other = placed.setdefault((output.provider, output.bucket, placement.key), placement)
            if other.file != file:
                both = f"'{printable(other.file)}' and '{printable(file)}'"
                raise OutputRefusedError(f"the outputs {both} would both become {output.bucket}/{printable(other.key)}")
    return list(placed.values())


def object_name(file: bytes) -> bytes:
    """Return the name of the object a file becomes, before the output's folder. Raises OutputRefusedError."""
    if not (name := file.strip(_STRIPPED)):
        raise OutputRefusedError(f"nothing is left of the output name '{printable(file)}' without its whitespace")
    return name


def _is_selected(name: bytes, output: Output) -> bool:
    prefixes = tuple(prefix.encode() for prefix in output.prefix)
    suffixes = tuple(suffix.encode() for suffix in output.suffix)
    return (not prefixes or name.startswith(prefixes)) and (not suffixes or name.endswith(suffixes))
