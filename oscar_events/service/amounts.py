"""How much and how long: durations, quantities as Kubernetes writes them, whole numbers.

In:  what people wrote, text or number. Out: a checked value; for what is wrong, the nearest that would be right; the
text of a checked one.
Not here: which field takes what (the blocks).

Quantities stay the text they were: OSCAR hands `1Gi` back as `1Gi`, and so do we.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from oscar_events.mistakes import Change, Remove, Write, shown, wrong

_DURATION = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?) ?(?P<unit>[smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST = timedelta(days=366)  # more is a typing error, and keeps sums of times far from the calendar's end
# What people write instead of a unit, by its beginning, and how many of the unit it is. `1h30m` has two of these.
_LOOSE_DURATION = re.compile(r"(?P<number>[0-9]+(?:[.,][0-9]+)?) *(?P<word>[a-z]+)\.?[ ,]*")
_LOOSE_UNITS = {"w": (7, "d"), "d": (1, "d"), "h": (1, "h"), "m": (1, "m"), "s": (1, "s")}
_MOST_CHARACTERS = 40  # of what may be a duration: longer text is something else, and slow to take apart

# Kubernetes' resource.Quantity without a sign; the exponent is short, since 1e999999999 is a number to compute with.
_QUANTITY = re.compile(
    r"(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:(?P<unit>[KMGTPE]i|[numkMGTPE])|[eE](?P<exponent>[+-]?[0-9]{1,2}))?"
)
_UNITS = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(1000),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("MGTPE", 2)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)},
}
_LOOSE_QUANTITY = re.compile(r"(?P<number>[0-9]+(?:[.,][0-9]+)?) *(?P<word>[A-Za-z]*)")
# Other spellings of units, in lower case: of bytes, and of processors.
_BYTE_UNITS = {
    "b": "",
    "byte": "",
    "bytes": "",
    **{word: unit for unit in "MGTPE" for word in (unit.lower(), f"{unit.lower()}b")},
    **dict.fromkeys(("k", "kb"), "k"),
    **{word: f"{unit}i" for unit in "KMGTPE" for word in (f"{unit.lower()}i", f"{unit.lower()}ib")},
}
_CPU_UNITS = dict.fromkeys(("cpu", "cpus", "core", "cores", "vcpu", "vcpus"), "") | {"mcpu": "m", "millicores": "m"}

_MAX_INT32 = 2**31 - 1  # OSCAR's numbers are Go's int32 or become one in Kubernetes
_MAX_INT64 = 2**63 - 1  # what a database and a store hold as a size


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    text = str(value).strip()
    match = None if isinstance(value, bool) else _DURATION.fullmatch(text)
    if match is None:
        fix = None if isinstance(value, bool) else _meant_duration(text.lower())
        raise wrong(shown(value), "seconds, or a number with s, m, h or d, like 90s", fix)
    seconds = float(match["number"]) * _SECONDS[match["unit"]]
    if seconds > _LONGEST.total_seconds():
        longest = f"{_LONGEST.days}d"
        raise wrong(shown(value), f"at most a year, {longest}", Write(longest))
    return timedelta(seconds=seconds)


def _meant_duration(text: str) -> Change | None:
    unsigned = text.removeprefix("-").lstrip()
    if len(unsigned) > _MOST_CHARACTERS:
        return None
    if _DURATION.fullmatch(unsigned):
        return Write(unsigned) if unsigned.strip("0.smhd ") else None
    parts = list(_LOOSE_DURATION.finditer(unsigned))
    if not parts or "".join(part.group() for part in parts) != unsigned:
        return None
    if any(
        part["word"].startswith(("mo", "ms", "mil", "mic")) or part["word"][0] not in _LOOSE_UNITS for part in parts
    ):
        return None
    units = [_LOOSE_UNITS[part["word"][0]] for part in parts]
    numbers = [Decimal(part["number"].replace(",", ".")) * each for part, (each, _) in zip(parts, units, strict=True)]
    seconds = sum(number * _SECONDS[unit] for number, (_, unit) in zip(numbers, units, strict=True))
    if not 0 < seconds <= _LONGEST.total_seconds():
        return None
    return Write(f"{numbers[0]:f}{units[0][1]}" if len(parts) == 1 else f"{seconds:f}s")


def lasting(seconds: float) -> str:
    """Return a duration as people say it: 90 as `1m30s`, 86400 as `1d`, 0.5 as `0.5s`."""
    left, parts = round(seconds, 3), []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        count, left = divmod(left, size)
        parts += [f"{count:.0f}{unit}"] if count else []
    if left or not parts:
        parts.append(f"{round(left, 3):g}s")
    return "".join(parts)


def _above_zero(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise wrong("a duration of 0", "a duration above 0, like 90s, or no such key: then the default holds", Remove())
    return value


def _seconds(value: timedelta) -> int | float:
    seconds = value.total_seconds()
    return int(seconds) if seconds.is_integer() else seconds


def amount(quantity: str) -> Decimal:
    """Return the number a checked quantity stands for."""
    match = _QUANTITY.fullmatch(quantity)
    assert match is not None, quantity
    unit = _UNITS.get(match["unit"] or "", Decimal(1))
    return Decimal(match["number"]) * unit * Decimal(10) ** int(match["exponent"] or 0)


def quantity(size: int) -> str:
    """Return a number of bytes as people write it: in the largest unit of which it is a whole number, like `20Mi`."""
    units = [unit for unit, each in _UNITS.items() if each > 1 and size % each == 0] if size else []
    unit = max(units, key=lambda unit: _UNITS[unit], default="")
    return f"{size // _UNITS[unit]:f}{unit}" if unit else f"{size} bytes"


def _written(value: object) -> str:
    """Return the text of a quantity that may have been written as a number."""
    if isinstance(value, float) and value == value and abs(value) < _MAX_INT64:
        return f"{Decimal(repr(value)).normalize():f}"
    return str(value).strip()


def _quantity(example: str, units: dict[str, str]) -> Callable[[object], str]:
    def check(value: object) -> str:
        text = _written(value)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and _QUANTITY.fullmatch(text):
            return text
        raise wrong(shown(value), f"a quantity, like {example}", _meant(text, units))

    return check


def _meant(text: str, units: dict[str, str]) -> Change | None:
    match = _LOOSE_QUANTITY.fullmatch(text)
    if match is None:
        return None
    unit = match["word"] if match["word"] in _UNITS else units.get(match["word"].lower())
    if match["word"] and unit is None:
        return None
    return Write(f"{match['number'].replace(',', '.')}{unit or ''}")


def _or_nothing(check: Callable[[object], str]) -> Callable[[object], str]:
    return lambda value: "" if value == "" else check(value)


def _bytes(value: object) -> int:
    size = amount(_memory(value))
    if size > _MAX_INT64:
        raise wrong(shown(value), "a size in bytes that an object may have, like 10Mi")
    if size != int(size):
        raise wrong(shown(value), "a whole number of bytes, like 10Mi")
    return int(size)


def _whole(least: int, most: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        try:
            if isinstance(value, bool) or not isinstance(value, str | int | float) or float(value) != int(value):
                raise ValueError
            number = int(value)
        except (ValueError, OverflowError):
            raise wrong(shown(value), f"a whole number from {least} to {most}") from None
        if not least <= number <= most:
            nearest = min(max(number, least), most)
            raise wrong(shown(value), f"a whole number from {least} to {most}", Write(nearest))
        return number

    return check


_memory = _quantity("256Mi, 1Gi or 500M", _BYTE_UNITS)
_cpu = _quantity("0.5, 2 or 500m", _CPU_UNITS)

Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(_seconds)]
PositiveDuration = Annotated[Duration, AfterValidator(_above_zero)]
Memory = Annotated[str, BeforeValidator(_memory)]
Cpu = Annotated[str, BeforeValidator(_cpu)]
# Empty means none, as OSCAR has it.
MemoryOrNone = Annotated[str, BeforeValidator(_or_nothing(_memory))]
CpuOrNone = Annotated[str, BeforeValidator(_or_nothing(_cpu))]
Bytes = Annotated[int, BeforeValidator(_bytes)]
Whole = Annotated[int, BeforeValidator(_whole(0, _MAX_INT32))]
Count = Annotated[int, BeforeValidator(_whole(1, _MAX_INT32))]
Port = Annotated[int, BeforeValidator(_whole(0, 65_535))]
Percent = Annotated[int, BeforeValidator(_whole(0, 100))]
