"""Measured powder patterns: columns of text (xy, csv, dat, txt) and PANalytical's xrdml."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np

from crystal_ldm.crystals.powder import LONGEST, SHORTEST, PowderPattern
from crystal_ldm.crystals.readers.content import decode
from crystal_ldm.crystals.readers.poscar import NUMBER
from crystal_ldm.errors import DataError

FEWEST = 50
"""Points of the shortest pattern; a list of peaks is none."""
NARROWEST = 5.0
"""Degrees 2θ that a pattern covers at least."""

_DECIMAL_COMMA = re.compile(r"[-+]?\d+(?:,\d+)?(?:[eE][-+]?\d+)?$")
_SHARE = "ratioKAlpha2KAlpha1"
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
    scans = root.findall(".//{*}scan")
    found = next(filter(None, map(_scan, scans)), None)
    if found is None:
        raise DataError(f"{name} holds no scan over 2θ as xrdml writes it.")
    several = f"{name} holds {len(scans)} scans; the first over 2θ is shown."
    return *found, _wavelength(root), [several] if len(scans) > 1 else []


def _scan(scan: ElementTree.Element) -> tuple[list[float], list[float]] | None:
    """Return angles and intensities of a scan over 2θ; None for another one."""

    def numbers(tag: str) -> list[float]:
        return [float(word) for word in scan.findtext(f".//{{*}}{tag}", "").split()]

    axis = ".//{*}positions[@axis='2Theta']/{*}"
    try:
        counts = numbers("intensities")
        if not counts:
            counts = numbers("counts")
            weights = numbers("beamAttenuationFactors") or [1.0] * len(counts)
            counts = [count * weight for count, weight in zip(counts, weights, strict=True)]
        if listed := scan.findtext(f"{axis}listPositions"):
            return [float(word) for word in listed.split()], counts
        start, end = (float(scan.findtext(f"{axis}{at}Position", "")) for at in ("start", "end"))
    except ValueError:
        return None
    return np.linspace(start, end, len(counts)).tolist(), counts


def _wavelength(root: ElementTree.Element) -> float | None:
    """Return the wavelength of a file: Kα1, or the mean of both lines where both were measured."""
    used = root.find(".//{*}usedWavelength")
    if used is None:
        return None
    texts = (used.findtext(f"{{*}}{tag}") or "0" for tag in ("kAlpha1", "kAlpha2", _SHARE))
    try:
        wavelength, second, share = map(float, texts)
    except ValueError:
        return None
    if second and used.get("intended", "K-Alpha") == "K-Alpha":
        share = share or 0.5
        wavelength = (wavelength + share * second) / (1 + share)
    return wavelength if SHORTEST <= wavelength <= LONGEST else None


def _checked(
    name: str,
    angles: list[float],
    counts: list[float],
    wavelength: float | None,
    notes: list[str],
) -> PowderPattern:
    if not len(angles) == len(counts) >= FEWEST:
        raise DataError(
            f"{name} holds {len(angles)} points and {len(counts)} intensities, and a pattern at "
            f"least {FEWEST}: two columns, 2θ in degrees and intensity."
        )
    order = slice(None) if angles[0] < angles[-1] else slice(None, None, -1)
    x, y = np.array(angles)[order], np.array(counts)[order]
    steps = np.diff(x)
    if not (np.isfinite(y).all() and (steps > 0).all() and x[0] >= -5 and x[-1] <= 180):
        raise DataError(
            f"The first column of {name} should be 2θ in degrees, ascending to at most 180, and "
            "the second finite numbers."
        )
    if x[-1] - x[0] < NARROWEST or y.max() <= 0 or y.max() == y.min():
        raise DataError(
            f"{name} has no peak: it covers less than {NARROWEST:g}° 2θ, or its intensities are "
            "all equal or none is above 0."
        )
    return PowderPattern(x, y, wavelength, tuple(notes))
