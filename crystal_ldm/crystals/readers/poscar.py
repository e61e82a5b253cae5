"""What is wrong with a POSCAR, in words; pymatgen parses it."""

from __future__ import annotations

import re

from crystal_ldm.crystals.elements import symbols

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_FORTRAN = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[dD][-+]?\d+")


def poscar_problem(text: str) -> str:
    """Return what is wrong with a POSCAR that a parser has refused; "" if nothing is seen."""
    lines = text.splitlines()
    if len(lines) < 8:
        return "it has fewer than eight lines: it is cut short"
    scale = lines[1].split()
    if len(scale) != 1:
        return f"line 2 must be one scale factor, not '{lines[1].strip()[:40]}'"
    for i in (1, 2, 3, 4):
        if problem := _numbers(lines[i], i, 1 if i == 1 else 3):
            return problem
    counts = next((i for i in (5, 6) if _are_counts(lines[i])), None)
    if counts is None:
        return "neither line 6 nor line 7 says how many atoms of each element there are"
    if counts == 5 and re.fullmatch(r"\s*[A-Z][a-z]?(\s+[A-Z][a-z]?)*\s*", lines[6]):
        return "the line of elements must stand before that of their numbers"
    if counts == 6:
        wrong = [name for name in lines[5].split("!")[0].split() if not _is_element(_bare(name))]
        if wrong:
            return f"'{wrong[0][:40]}' in line 6 is not the symbol of a chemical element"
    total = sum(_sizes(lines[counts]))
    start = counts + 1
    if start < len(lines) and lines[start].strip()[:1] in ("S", "s"):
        start += 1
    if start >= len(lines) or lines[start].strip()[:1].lower() not in ("d", "c", "k"):
        return f"line {start + 1} must say Direct or Cartesian"
    if problem := poscar_contradiction(text):
        return problem
    for k in range(total):
        i = start + 1 + k
        if i >= len(lines) or not lines[i].strip():
            return f"it lists {k} of {total} atoms: it is cut short"
        if problem := _numbers(lines[i], i, 3):
            return problem
    return ""


def poscar_contradiction(text: str) -> str:
    """Return in which numbers a POSCAR contradicts itself; "" for none. Parsers do not look."""
    lines = text.splitlines()
    counts = next((i for i in (5, 6) if i < len(lines) and _are_counts(lines[i])), None)
    if counts is None:
        return ""
    sizes, names = _sizes(lines[counts]), lines[5].split("!")[0].split()
    if counts == 6 and len(names) != len(sizes):
        return f"line 6 names {len(names)} elements, and line 7 gives {len(sizes)} numbers of atoms"
    selective = counts + 1 < len(lines) and lines[counts + 1].strip()[:1] in ("S", "s")
    behind = counts + 2 + selective + sum(sizes)
    words = lines[behind].split() if behind < len(lines) else []
    if words[:2] == ["Direct", "configuration="]:
        return "it holds several configurations, as an XDATCAR does"
    if len(words) >= 3 and all(NUMBER.fullmatch(word) for word in words[:3]):
        return f"it lists more atoms than the {sum(sizes)} of line {counts + 1}"
    if counts == 6:
        return _other_symbols(lines, [_bare(n) for n in names], sizes, behind - sum(sizes))
    return ""


def is_deuterium_or_tritium(text: str) -> bool:
    """Whether the line of elements names D or T."""
    lines = text.splitlines()
    return len(lines) > 5 and not {"D", "T"}.isdisjoint(map(_bare, lines[5].split("!")[0].split()))


def _is_element(name: str) -> bool:
    return name in symbols()[1:] or name in ("D", "T")


def _bare(name: str) -> str:
    """Return the symbol in the name of a potential (`Na_pv/3e4a1b`)."""
    return re.split(r"[_/]", name)[0]


def _other_symbols(lines: list[str], names: list[str], sizes: list[int], start: int) -> str:
    """Return which atom has another symbol behind its place than in the line of elements."""
    listed = [name for name, size in zip(names, sizes, strict=True) for _ in range(size)]
    for i, name in enumerate(listed, start=start):
        words = lines[i].split("!")[0].split() if i < len(lines) else []
        word = next((word for word in words[3:] if word not in ("T", "F")), "")
        if re.fullmatch(r"[A-Z][a-z]?", word) and word in symbols() and word != name:
            return f"line {i + 1} is an atom of {name} by line 6, and of {word} by its end"
    return ""


def _sizes(line: str) -> list[int]:
    return [int(word) for word in line.split("!")[0].split()]


def _are_counts(line: str) -> bool:
    words = line.split("!")[0].split()
    return bool(words) and all(word.isdecimal() for word in words)


def _numbers(line: str, i: int, count: int) -> str:
    words = line.split()[:count]
    if len(words) < count:
        return f"line {i + 1} must have {count} numbers"
    for word in words:
        if NUMBER.fullmatch(word):
            continue
        reason = "is not a number"
        if re.fullmatch(r"[-+]?\d*,\d+", word):
            reason = "has a decimal comma; write a point"
        elif _FORTRAN.fullmatch(word):
            reason = "has Fortran's exponent; write e in place of d"
        return f"'{word[:40]}' in line {i + 1} {reason}"
    return ""
