"""The data blocks of a CIF (gemmi parses it, Wojdyr 2022), with their values as text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gemmi import cif

from crystal_ldm.errors import DataError

_ABSENT = ("", ".", "?")
_NUMBER = re.compile(r"([-+]?)(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?(\s*\(\d*\))?")
_HEADER = re.compile(r"^[ \t]*data_", re.IGNORECASE | re.MULTILINE)
# A value of several words without quotes, as some programs write it: `_tag P 1 21/c 1`.
_UNQUOTED = re.compile(
    r"^(_\S+)[ \t]+([^'\";#\s_][^'\"#\n]*[ \t][^'\"#_\s][^'\"#\n]*?)[ \t]*$", re.M
)
_BLANKS_IN_NAME = re.compile(r"^[ \t]*(data_)[ \t]*(\S*)[ \t].*$", re.IGNORECASE | re.MULTILINE)
_PUNCTUATION = str.maketrans(
    {"−": "-", "–": "-", "\xa0": " ", "‘": "'", "’": "'", "±": "+-", "Å": "A", "\u212b": "A",
     **{chr(code): " " for code in (0x0B, 0x0C, 0x1A)},  # what printers and DOS want
     **{chr(code): "" for code in (0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF)},
     **{chr(0x2080 + digit): str(digit) for digit in range(10)}}
)  # fmt: skip
_BAR_ABOVE = re.compile("([1-6])[\u0304\u0305]")


@dataclass
class Block:
    """One data block.

    Attributes:
        name: what follows `data_`.
        values: texts by tag; tags in lower case with `_` for `.` and `-`. A value that is absent
            (`.`, `?`, nothing) is "".
        repeated: tags that the block states more than once, differently.
    """

    name: str
    values: dict[str, list[str]] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)

    def column(self, *tags: str) -> list[str] | None:
        """Return the values of the first of some tags that the block has.

        Raises:
            DataError: if the block states it twice.
        """
        for tag in tags:
            if tag in self.repeated:
                raise DataError(f"The CIF states {tag} twice, with different values.")
            if tag in self.values:
                return self.values[tag]
        return None

    def text(self, *tags: str) -> str:
        """Return the first value that is given under one of some tags, else ""."""
        for tag in tags:
            values = self.column(tag)
            if values and values[0]:
                return values[0]
        return ""

    def has(self, *tags: str) -> bool:
        """Whether the block has one of some tags, with a value or without."""
        return any(tag in self.values for tag in tags)


def read_blocks(text: str) -> list[Block]:
    """Return the data blocks of a CIF.

    Raises:
        DataError: if it is empty or cannot be parsed.
    """
    if not text.strip():
        raise DataError("The CIF is empty.")
    text = text.translate(_PUNCTUATION).replace("\r\n", "\n").replace("\r", "\n")
    text = _BAR_ABOVE.sub(r"-\1", text)
    text = text.encode("ascii", errors="replace").decode()
    header = _HEADER.search(text)
    before = text[: header.start()] if header else text
    if text.lstrip()[:1] == "<":
        raise DataError("It is a web page or XML, not a CIF.")
    if header is None or re.search(r"^\s*(_\w|loop_)", before, re.MULTILINE | re.IGNORECASE):
        raise DataError("The CIF has no line 'data_…' at its beginning.")
    text = text[header.start() :]
    try:
        document = cif.read_string(text, check_level=0)
    except (ValueError, RuntimeError) as error:
        lenient = _UNQUOTED.sub(r"\1 '\2'", _BLANKS_IN_NAME.sub(r"\1\2", text))
        try:
            document = cif.read_string(lenient, check_level=0)
        except (ValueError, RuntimeError):
            raise DataError(
                f"The CIF cannot be read ({error}): it may be cut short, or a value with blanks "
                "lacks its quotes."
            ) from error
    return [_block(block) for block in document]


def is_cif(text: str) -> bool:
    """Whether a text has the first line of a data block, and a cell."""
    return "_cell" in text.lower() and bool(_HEADER.search(text))


def number(text: str, what: str) -> float:
    """Return a number of a CIF; an uncertainty in brackets is left out.

    Raises:
        DataError: if it is absent or not a number, with the reason.
    """
    match = _NUMBER.fullmatch(text)
    if match:
        return float(text.split("(")[0])
    if text in _ABSENT:
        raise DataError(f"The CIF gives no number for {what}.")
    raise DataError(
        f"The CIF gives '{text[:40]}' for {what}: a fraction is not a number in a CIF, nor is one "
        "with a decimal comma."
    )


def decimals(text: str) -> int:
    """Return the number of decimals of a number's text."""
    match = _NUMBER.fullmatch(text)
    if match is None or match.group(3):
        return 8
    return len(match.group(2).partition(".")[2])


def _block(block: cif.Block) -> Block:
    result = Block(block.name)
    items: Iterable[Any] = block  # gemmi's own types say nothing of what it yields
    for item in items:
        if item.pair is not None:
            tag, value = item.pair
            _store(result, tag, [value])
        elif item.loop is not None:
            tags, values = item.loop.tags, item.loop.values
            for column, tag in enumerate(tags):
                _store(result, tag, values[column :: len(tags)])
    return result


def _store(block: Block, tag: str, raw: list[str]) -> None:
    tag = tag.lower().replace(".", "_").replace("-", "_").rstrip("_")
    values = [_plain(value) for value in raw]
    if tag in block.values and block.values[tag] != values:
        block.repeated.add(tag)
    block.values.setdefault(tag, values)


def _plain(raw: str) -> str:
    if raw[:1] in ("'", '"', ";"):
        raw = cif.as_string(raw).strip()
    return "" if raw in _ABSENT else raw
