"""What is wrong with a text that is no YAML, in people's words, with changes that may mend it.

In:  the text and the parser's error. Out: a `Flaw` with candidates, the likely ones first.
Not here: which candidate mends it (examine.py tries them).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import yaml

from oscar_events.documents.edits import Edit, Edits
from oscar_events.documents.scalars import quoted
from oscar_events.documents.tree import line_starts
from oscar_events.mistakes import Loc


@dataclass(frozen=True, slots=True)
class Flaw:
    """A mistake in the text itself, at a character. repairs: candidates, each the edits that may mend it; read once."""

    index: int
    loc: Loc
    found: str
    expected: str
    repairs: Iterable[Edits] = ()


# The parser's words for a problem begin so. (problem, found, expected).
_WORDS = (
    ("found character '\\t'", "a tab", "spaces; YAML takes no tabs in front of a value"),
    ("found character", "a character that cannot begin a value", "quotes around the value"),
    ("mapping values are not allowed", "a second `: `, or a wrong indentation", "one `key: value` in a line"),
    ("could not find expected ':'", "a line that is no `key: value`", "a colon and a space behind the key"),
    ("expected ',' or ']', but got '<scalar>'", "no comma in front of this value", "a comma between values"),
    ("expected ',' or '}', but got '<scalar>'", "no comma in front of this key", "a comma between entries"),
    ("expected ',' or ']'", "an opening [ without its end", "a comma between values and ] behind the last"),
    ("expected ',' or '}'", "an opening { without its end", "a comma between entries and } behind the last"),
    ("expected <block end>, but found ']'", "a ] too many", "as many ] as there are ["),
    ("expected <block end>, but found '}'", "a } too many", "as many } as there are {"),
    ("expected <block end>", "a wrong indentation", "the same number of spaces before keys that belong together"),
    ("expected alphabetic or numeric", "a * or & in front of a value", "quotes around the value"),
    ("expected '<document start>'", "something behind the end", "all keys with the first one's indentation"),
    ("sequence entries are not allowed", "a list where none can begin", "the list on lines of its own"),
    ("found unknown escape character", "a backslash in double quotes", "single quotes, which keep backslashes"),
    ("expected escape sequence", "a backslash in double quotes", "single quotes, which keep backslashes"),
)  # fmt: skip
_QUOTE = ("an opening quote without its end", "the same quote at the end of the text")
_BEHIND = ("text behind the end of a value", "quotes around all of it, and none inside")
_BRACKET = ("an opening bracket without its end", "the bracket that ends it")
_OTHER = "plain YAML; quotes around text with signs"

# Of those in use, the nearest: who is wrong by more has moved more than a line.
_MAX_INDENTATIONS = 8

_INDENTATION = re.compile(r"[ \t]*")
_HEAD = r"(?P<head>[ \t]*(?:- +)*)"
_KEY = r"(?P<key>[\w.\"'/-]+)"
_KEY_VALUE = re.compile(_HEAD + _KEY + r":(?P<gap>\s+)(?P<value>\S.*?)(?P<end>\s*)")
_ITEM = re.compile(r"(?P<head>[ \t]*- +)(?P<value>\S.*?)(?P<end>\s*)")
_NO_SPACE = re.compile(_HEAD + r"(?P<key>[\w-]+):(?=[^\s:])")
_NO_COLON = re.compile(_HEAD + r"(?P<key>[\w-]+)(?P<gap>\s*=\s*|\s+|$)")
_BARE_PATTERN = re.compile(r"(?<=[\[,{ ])[*@`%&!][^\s,\]}]*")
_DOUBLE_QUOTED = re.compile(r'"(?P<inner>[^"\n\']*)"')
_COMMENT = re.compile(r"\s+#.*$")

# In brackets a quoted value begins behind one of the signs, or behind a colon, and ends in front of one.
_QUOTED = {
    '"': re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL),
    "'": re.compile(r"'(?:[^']|'')*'"),
}
_BEGINS_BEHIND = frozenset("[{,:")
_ENDS = re.compile(r"\s*(?:[,:\]}]|(?:#[^\r\n]*)?[\r\n]|$)")
_LINE = re.compile(r"[^\r\n]*")
# Where people meant to close a quote: of a mapping in front of the next key, of a list in front of the next quote; of
# both in front of the bracket's end. A comma with anything else behind it may belong to the text or not.
_CLOSED = {
    "{": re.compile(r"""\s*(?:,\s*(?:["']?[\w.-]+["']?\s*:(?:\s|$)|$)|\})"""),
    "[": re.compile(r"""\s*(?:,\s*(?:["']|$)|\])"""),
}
_KEY_START = re.compile(r"[\w.-]+[ \t]*:(?:\s|$)")
_END_OF = {"{": "}", "[": "]"}
_OPENS_BRACKET = re.compile(r"[ \t]*(?:- +)*[\[{]")
_OPENS_QUOTE = re.compile(r"""[ \t]*(?:- +)*(?:[\w.\"'/-]+:[ \t]+)?(?P<quote>["'])""")


def flaw_of(text: str, error: Exception, loc: Loc, opening: int | None) -> Flaw:
    """Return what a parser's error means.

    loc: where the node that could not be read stands. opening: the bracket around it, None if there is none.
    """
    if isinstance(error, yaml.reader.ReaderError):
        character = f"U+{error.character:04X}" if isinstance(error.character, int) else repr(error.character)
        repair = (Edit(error.position, error.position + 1, ""),)
        found = f"the control character {character}, which no text holds"
        return Flaw(error.position, loc, found, "text without it", (repair,))
    if not isinstance(error, yaml.MarkedYAMLError):
        # The library's own arithmetic failed: `\\UFFFFFFFF`, `%YAML 9...9.1`.
        return Flaw(0, loc, "no plain YAML: an escape or a version too large", _OTHER)
    problem = error.problem or ""
    index = stopped_at(error)
    context = error.context_mark.index if error.context_mark is not None else index
    found, expected = next(((found, expected) for start, found, expected in _WORDS if problem.startswith(start)),
                           (f"no plain YAML: {problem}", _OTHER))  # fmt: skip
    if error.context == "while scanning a quoted scalar" and "end of stream" in problem:
        found, expected = _QUOTE
    if problem.startswith("expected <block end>, but found '<scalar>'") and text[:index].rpartition("\n")[2].strip():
        found, expected = _BEHIND
    open_quote = _open_quote(text, opening, found, index, context)
    if open_quote is not None:
        if (found, expected) != _QUOTE and loc and isinstance(loc[-1], int):
            loc = loc[:-1]  # the item that was read last is not the one whose quote it is
        return Flaw(open_quote[0], loc, *_QUOTE, _closed(text, *open_quote))
    if opening is not None and _is_left_open(text, opening, found, index):
        (found, expected), context = _BRACKET, opening
    if opening is not None and problem.endswith("but found '<stream end>'"):
        (found, expected), context = _BRACKET, opening
    if (found, expected) == _QUOTE or found.startswith("an opening"):
        index, context = context, index
        if loc and isinstance(loc[-1], int):
            loc = loc[:-1]  # the list, not the item that it waits for
    if error.context == "while scanning a simple key":
        index, context = context, index  # the line itself, not the one behind it
    index, context = min(index, len(text)), min(context, len(text))
    repairs = _repairs(text, index, context)
    if found.startswith("no comma") and (above := _content_above(text, index)) is not None:
        index, found = above, "no comma behind the last value of this line"
    return Flaw(index, loc, found, expected, repairs)


def stopped_at(error: Exception) -> int:
    """Return the character at which the parser gave up."""
    if isinstance(error, yaml.reader.ReaderError):
        return int(error.position)
    mark = error.problem_mark or error.context_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return 0 if mark is None else mark.index


def _open_quote(text: str, opening: int | None, found: str, index: int, context: int) -> tuple[int, str] | None:
    """Return the quote without end that made the parser fail, there or at a later one, and the bracket around it.

    Of a value outside brackets that is "". None if the parser failed of something else.
    """
    if opening is None and found == _QUOTE[0]:
        # The parser tells of a bracket that begins a line or an item only once its line is read.
        line = _line_start(text, context)
        match = _OPENS_BRACKET.match(text, line)
        opening = match.end() - 1 if match else None
    if opening is not None and (found == _QUOTE[0] or found.startswith("no comma")):
        return _open_quote_in_brackets(text, opening, index)
    return _open_quote_above(text, index) if opening is None and found == _BEHIND[0] else None


def _open_quote_in_brackets(text: str, opening: int, index: int) -> tuple[int, str] | None:
    at, before, around = opening, "", ""
    while at < min(index + 1, len(text)):
        sign = text[at]
        if sign in _QUOTED and before in _BEGINS_BEHIND:
            match = _QUOTED[sign].match(text, at)
            if match is None or not _ENDS.match(text, match.end()):
                return at, around[-1:]
            at = match.end() - 1
        around = around + sign if sign in "[{" else around[:-1] if sign in "]}" else around
        before = sign if not sign.isspace() else before
        at += 1
    return None


def _open_quote_above(text: str, index: int) -> tuple[int, str] | None:
    """Return the quote of a value that ended lines below, in front of the index, at the quote of another one."""
    sign = text[:index].rstrip()[-1:]
    for start in reversed(line_starts(text[:index])[:-1]):
        line = _line_at(text, start)
        match = _OPENS_QUOTE.match(line)
        if match and match["quote"] == sign:
            return (start + match.end() - 1, "") if sign not in line[match.end() :] else None
        if sign in line:
            return None
    return None


def _closed(text: str, quote: int, around: str) -> Iterator[Edits]:
    """Yield where the quote may end: on its line, in front of what is surely no longer its text."""
    sign, line = text[quote], _line_at(text, quote + 1)
    match = _CLOSED[around].search(line) if around else None
    end = match.start() if match else len(_COMMENT.sub("", line).rstrip())
    if around and any(other in line[:end] for other in ",[]{}"):
        return  # it may be text or not
    for closing in ("",) if match or not around else ("", _END_OF[around], ","):
        yield (Edit(quote + 1 + end, quote + 1 + end, sign + closing),)


def _is_left_open(text: str, opening: int, found: str, index: int) -> bool:
    """Whether what has no comma in front is the next key of the block around the brackets, which were not closed."""
    here, there = _line_start(text, index), _line_start(text, opening)
    own, around = text[here:index], _INDENTATION.match(text, there)
    is_key = found.startswith("no comma") and not own.strip() and bool(_KEY_START.match(text, index))
    return is_key and around is not None and around.end() < opening and len(own) <= around.end() - there


def _content_above(text: str, index: int) -> int | None:
    """Return the line above that is not empty, by its first character; None if something stands before the index."""
    start = _line_start(text, index)
    if text[start:index].strip():
        return None
    starts = line_starts(text[:start])[:-1]
    return next((above for above in reversed(starts) if _content(_line_at(text, above))), None)


def _line_start(text: str, index: int) -> int:
    return max(text.rfind("\n", 0, index), text.rfind("\r", 0, index)) + 1


def _line_at(text: str, index: int) -> str:
    """Return the text from an index to the end of its line."""
    match = _LINE.match(text, index)
    return match.group() if match else ""


def _repairs(text: str, index: int, context: int) -> Iterator[Edits]:
    """Yield what people mean who write such a thing; the line of the flaw first, then those around it."""
    starts = line_starts(text)
    lines = [text[start:end].rstrip("\r\n") for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    here, there = bisect_right(starts, index) - 1, bisect_right(starts, context) - 1
    if text[starts[here] : index].strip() == "" and not lines[here].strip() and here:
        here -= 1  # the end of the file
    before = next((number for number in range(here - 1, -1, -1) if _content(lines[number])), here)
    yield from _without_tabs(starts, lines, here)
    for number in dict.fromkeys((here, before, there)):
        for edit in _in_line(lines[number]):
            yield (Edit(edit.start + starts[number], edit.end + starts[number], edit.text),)
    for number in dict.fromkeys((here, before)):
        yield from _indented(starts, lines, number)


def _content(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _without_tabs(starts: list[int], lines: list[str], here: int) -> Iterator[Edits]:
    leads = [match.group() for line in lines if (match := _INDENTATION.match(line))]
    if any("\t" in lead for lead in leads):
        for width in (2, 4, 8):  # what editors show a tab as
            yield tuple(
                Edit(start, start + len(lead), lead.expandtabs(width))
                for start, lead in zip(starts, leads, strict=True)
                if "\t" in lead
            )
    if "\t" in lines[here]:
        yield tuple(
            Edit(starts[here] + at, starts[here] + at + 1, " ") for at, sign in enumerate(lines[here]) if sign == "\t"
        )


def _in_line(line: str) -> Iterator[Edit]:
    """Yield single changes of a line, at indexes of the line."""
    if match := _NO_SPACE.match(line):
        yield Edit(match.end(), match.end(), " ")
    if (match := _NO_COLON.match(line)) and not line.startswith("#"):
        yield Edit(match.end("key"), match.end(), ": " if match.end() < len(line) else ":")
    if re.match(r"\s*-[^\s-]", line):
        dash = line.index("-")
        yield Edit(dash + 1, dash + 1, " ")
    patterns = list(_BARE_PATTERN.finditer(line))
    if len(patterns) > 1:  # all of them at once: each alone leaves the others wrong
        yield Edit(0, len(line), _BARE_PATTERN.sub(lambda match: quoted(match.group()), line))
    for match in patterns:
        yield Edit(match.start(), match.end(), quoted(match.group()))
    for match in _DOUBLE_QUOTED.finditer(line):
        if "\\" in match["inner"]:
            yield Edit(match.start(), match.end(), f"'{match['inner']}'")
    end = len(_COMMENT.sub("", line).rstrip())
    yield from (Edit(end, end, closing) for closing in ('"', "'", "]", "}", ",", "]}", "}]", '"]', "']", '"}'))
    if line[:end].endswith(("]", "}", ",", '"', "'")):
        yield Edit(end - 1, end, "")
    for pattern in (_KEY_VALUE, _ITEM):
        match = pattern.fullmatch(line[:end])
        # What has brackets and quotes was meant to have parts.
        if match and not (match["value"][0] in "[{" and any(sign in match["value"] for sign in _QUOTED)):
            value = match["value"].strip("\"'")
            yield Edit(match.start("value"), match.end("value"), quoted(value))
    if (match := _KEY_VALUE.fullmatch(line[:end])) and match["value"].startswith("- "):
        yield Edit(match.start("gap"), match.start("value"), "\n" + " " * len(match["head"]))


def _indented(starts: list[int], lines: list[str], number: int) -> Iterator[Edits]:
    """Yield other indentations of a line, of what is below it and of its equals: those in use, nearest first."""
    own = _width(lines[number])
    widths = {_width(line) for line in lines if _content(line)}
    used = widths | {width + 2 for width in widths}
    last = number + 1
    while last < len(lines) and (not _content(lines[last]) or _width(lines[last]) > own):
        last += 1
    same = last
    while same < len(lines) and (not _content(lines[same]) or _width(lines[same]) >= own):
        same += 1
    near = sorted(used - {own}, key=lambda width: (abs(width - own), width))
    for width in near[:_MAX_INDENTATIONS]:
        for until in dict.fromkeys((number + 1, last, same)):
            moved = [line for line in range(number, until) if _content(lines[line])]
            fewer, more = max(0, own - width), " " * max(0, width - own)
            yield tuple(Edit(starts[line], starts[line] + min(_width(lines[line]), fewer), more) for line in moved)


def _width(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))
