"""Measured powder patterns: columns of text (xy, csv, dat, txt) and PANalytical's xrdml."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.powder import LONGEST, SHORTEST, PowderPattern
from crystal_ldm.crystals.readers.content import decode
from crystal_ldm.crystals.readers.poscar import NUMBER
from crystal_ldm.errors import DataError

FEWEST = 50
"""Points of the shortest pattern; a list of peaks is none."""
NARROWEST = 5.0
"""Degrees 2θ that a pattern covers at least."""

_DECIMAL_COMMA = re.compile(r"[-+]?\d+(?:,\d+)?(?:[eE][-+]?\d+)?$")
_COMMENT = ("#", "!", ";", "%", "*", "'", "/", '"')


def read_powder_pattern(name: str, content: bytes) -> PowderPattern:
    """Return the pattern in a file.

    Text has 2θ in degrees in its first column and intensities in its second, separated by blanks,
    tabs, commas or semicolons; lines before them are a heading. xrdml is known by its content.

    Raises:
        DataError: one sentence on why the file is no pattern.
    """
    try:
        text = decode(content)
    except DataError:
        raise DataError(
            f"{name} is no text: export the pattern as two columns, 2θ and intensity, or as xrdml."
        ) from None
    if text.lstrip().startswith("<"):
        angles, counts, wavelength, notes = _from_xrdml(name, text)
    else:
        angles, counts, notes = _from_columns(name, text)
        wavelength = None
    return _checked(name, angles, counts, wavelength, notes)


def _from_columns(name: str, text: str) -> tuple[list[float], list[float], list[str]]:
    angles: list[float] = []
    counts: list[float] = []
    strange: list[int] = []
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith(_COMMENT):
            continue
        values = _values(line)
        if values is None or len(values) < 2:
            if angles:
                strange.append(number)
            continue
        angles.append(values[0])
        counts.append(values[1])
    if len(strange) > len(angles) // 10:
        raise DataError(
            f"Line {strange[0]} of {name} holds no two numbers; a pattern has 2θ in its first "
            "column and intensities in its second."
        )
    notes = [f"{len(strange)} lines of {name} hold no numbers and are left out."] if strange else []
    return angles, counts, notes


def _values(line: str) -> list[float] | None:
    """Return the numbers of a line; None where something else stands."""
    words = [word for word in re.split(r"[;\s]+", line) if word]
    if len(words) > 1 and all(_DECIMAL_COMMA.match(word) for word in words):
        return [float(word.replace(",", ".")) for word in words]
    words = [word for word in re.split(r"[,;\s]+", line) if word]
    if not all(NUMBER.fullmatch(word) for word in words[:2]):
        return None
    return [float(word) for word in words[:2]]


def _from_xrdml(name: str, text: str) -> tuple[list[float], list[float], float | None, list[str]]:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"{name} defines entities of its own, which a pattern does not need.")
    try:
        root = ElementTree.fromstring(text.encode())
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{name} is not complete XML ({error}).") from None
    scans = [part for part in root.iter() if _tag(part) == "scan"]
    for scan in scans:
        found = _scan(scan)
        if found is not None:
            notes = []
            if len(scans) > 1:
                notes.append(f"{name} holds {len(scans)} scans; the first over 2θ is shown.")
            return *found, _wavelength(root), notes
    raise DataError(f"{name} holds no scan over 2θ as xrdml writes it.")


def _scan(scan: ElementTree.Element) -> tuple[list[float], list[float]] | None:
    """Return angles and intensities of a scan over 2θ; None for another one."""
    points = next((part for part in scan.iter() if _tag(part) == "dataPoints"), None)
    if points is None:
        return None
    measured = {_tag(part): part for part in points if _tag(part) != "positions"}
    heights = measured.get("intensities", measured.get("counts"))
    axis = next((p for p in points if _tag(p) == "positions" and p.get("axis") == "2Theta"), None)
    if heights is None or axis is None:
        return None
    try:
        counts = [float(word) for word in (heights.text or "").split()]
        ends = {_tag(part): [float(w) for w in (part.text or "").split()] for part in axis}
        factors = measured.get("beamAttenuationFactors")
        if _tag(heights) == "counts" and factors is not None:
            weights = [float(word) for word in (factors.text or "").split()]
            counts = [c * w for c, w in zip(counts, weights, strict=True)]
        if "listPositions" in ends:
            return ends["listPositions"], counts
        start, end = ends["startPosition"][0], ends["endPosition"][0]
    except (ValueError, KeyError, IndexError):
        return None
    return np.linspace(start, end, len(counts)).tolist(), counts


def _wavelength(root: ElementTree.Element) -> float | None:
    """Return the wavelength of a file: Kα1, or the mean of both lines where both were measured."""
    used = next((part for part in root.iter() if _tag(part) == "usedWavelength"), None)
    if used is None:
        return None
    try:
        lines = {_tag(part): float(part.text or "nan") for part in used}
    except ValueError:
        return None
    first, second = lines.get("kAlpha1"), lines.get("kAlpha2")
    if first is None:
        return None
    wavelength = first
    if second and used.get("intended", "K-Alpha") == "K-Alpha":
        share = lines.get("ratioKAlpha2KAlpha1", 0.5)
        wavelength = (first + share * second) / (1 + share)
    return wavelength if SHORTEST <= wavelength <= LONGEST else None


def _tag(part: ElementTree.Element) -> str:
    return str(part.tag).rpartition("}")[2]


def _checked(
    name: str,
    angles: list[float],
    counts: list[float],
    wavelength: float | None,
    notes: list[str],
) -> PowderPattern:
    if len(angles) != len(counts):
        raise DataError(f"{name} has {len(angles)} angles and {len(counts)} intensities.")
    if len(angles) < FEWEST:
        raise DataError(
            f"{name} holds {len(angles)} points, and a pattern at least {FEWEST}: two columns, 2θ "
            "in degrees and intensity."
        )
    x: NDArray[np.float64] = np.array(angles)
    y: NDArray[np.float64] = np.array(counts)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError(f"{name} holds numbers that are not finite.")
    if x[0] > x[-1]:
        x, y = x[::-1], y[::-1]
    if (np.diff(x) <= 0).any():
        raise DataError(f"The first column of {name} does not ascend, so it is no 2θ.")
    if x[0] < -5 or x[-1] > 180 or x[-1] - x[0] < NARROWEST:
        raise DataError(
            f"The first column of {name} goes from {x[0]:g} to {x[-1]:g}, which is no range of 2θ "
            f"in degrees (at least {NARROWEST:g}, at most 180)."
        )
    if y.max() <= 0 or y.max() == y.min():
        raise DataError(f"{name} has no peak: its intensities are all equal, or none is above 0.")
    return PowderPattern(x.copy(), y.copy(), wavelength, tuple(notes))
