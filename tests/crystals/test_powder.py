"""Powder patterns: known lines, similarity, and files of measured patterns."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from crystal_ldm.crystals.powder import (
    PowderPattern,
    broadened,
    compare,
    similarity,
    wavelength_of,
    without_background,
    xrd_pattern,
)
from crystal_ldm.crystals.readers.powder import read_powder_pattern
from crystal_ldm.errors import DataError

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
SYLVINE = Structure.from_spacegroup("Fm-3m", Lattice.cubic(6.29), ["K", "Cl"], [[0] * 3, [0.5] * 3])
ANGLES = np.arange(10, 80, 0.02)


def measured(crystal: Structure, radiation: str = "Cu Kα", width: float = 0.15) -> PowderPattern:
    """Return a pattern with background, hump and counting noise."""
    clean = 40 * broadened(*xrd_pattern(crystal, radiation), ANGLES, width)
    hump = 300 * np.exp(-0.5 * ((ANGLES - 25) / 9) ** 2)
    counts = np.random.default_rng(0).poisson(clean + hump + 120 + 400 / ANGLES)
    return PowderPattern(ANGLES, counts.astype(float))


@pytest.mark.parametrize("radiation", ["Cu Kα", "Mo Kα", "Co Kα", 1.0, "1.2"])
def test_lines_obey_braggs_law(radiation: str | float) -> None:
    angles, heights = xrd_pattern(SALT, radiation)
    strongest = angles[int(np.argmax(heights))]
    wanted = 2 * np.degrees(np.arcsin(wavelength_of(radiation) / (5.64 / 2) / 2))  # 200
    assert strongest == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize("radiation", ["Cu", "", "0", "-1", "nan", 9.0, None])
def test_what_is_no_wavelength_is_refused(radiation: object) -> None:
    with pytest.raises(DataError, match="wavelength should be"):
        wavelength_of(radiation)


def test_a_crystal_without_lines() -> None:
    with pytest.raises(DataError, match="no scattering factors of Es, Og"):
        xrd_pattern(Structure(Lattice.cubic(5), ["Og", "Es"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    narrow = Structure(Lattice.cubic(0.6), ["H"], [[0, 0, 0]])  # half a wavelength is longer
    assert xrd_pattern(narrow) == ([], [])
    assert compare(measured(SALT), narrow, "Cu Kα", 0.2).similarity == 0


def test_a_broadened_line_has_its_width_and_area() -> None:
    grid = np.arange(20, 40, 0.01)
    curve = broadened([30.0], [100.0], grid, 0.5)
    above = grid[curve >= curve.max() / 2]
    assert above[-1] - above[0] == pytest.approx(0.5, abs=0.02)
    assert curve.max() == pytest.approx(100, rel=1e-6)


def test_background_goes_and_peaks_stay() -> None:
    pattern = measured(SALT)
    peaks = without_background(pattern.intensities, 50)
    lines, _ = xrd_pattern(SALT)
    near = (np.abs(ANGLES[:, None] - np.array(lines)) < 0.5).any(axis=1)
    assert peaks[~near].mean() < 0.02 * peaks.max()
    assert ANGLES[peaks.argmax()] == pytest.approx(31.7, abs=0.1)


def test_similarity_is_1_for_equal_and_falls_with_the_shift() -> None:
    grid = np.arange(10, 90, 0.05)
    curve = broadened(*xrd_pattern(SALT), grid, 0.2)
    assert similarity(curve, curve, 0.05) == pytest.approx(1)
    assert similarity(curve, 7 * curve, 0.05) == pytest.approx(1)
    shifted = [similarity(curve, np.roll(curve, n), 0.05) for n in (0, 4, 8, 16)]
    assert shifted == sorted(shifted, reverse=True) and shifted[-1] < 0.35
    assert similarity(curve, 0 * curve, 0.05) == 0


def test_a_measured_pattern_finds_its_crystal() -> None:
    right = compare(measured(SALT), SALT, "Cu Kα", 0.15)
    assert right.similarity > 0.93
    assert compare(measured(SALT), SYLVINE, "Cu Kα", 0.15).similarity < 0.5
    assert compare(measured(SALT), SALT, "Mo Kα", 0.15).similarity < 0.5
    assert right.grid[0] == 10 and right.grid[-1] < 80, "the range that both have"
    assert right.measured.max() == pytest.approx(100) == right.simulated.max()


def test_nothing_in_common_is_said() -> None:
    beyond = PowderPattern(np.arange(95, 140, 0.1), np.ones(450))
    with pytest.raises(DataError, match="too little in common"):
        compare(beyond, SALT, "Cu Kα", 0.1)
    with pytest.raises(DataError, match="peak width"):
        compare(measured(SALT), SALT, "Cu Kα", 0)


X = np.round(np.linspace(10, 60, 200), 3)
Y = np.round(100 + 900 * np.exp(-0.5 * ((X - 30) / 0.3) ** 2), 1)


def lines(form: str) -> str:
    return "\n".join(form.format(x=x, y=y) for x, y in zip(X, Y, strict=True))


FORMATS = {
    "blanks.xy": lines("  {x}   {y}"),
    "heading.xy": "2theta intensity\n" + lines("{x}\t{y}"),
    "comments.dat": "# diffractometer 3\n! 40 kV\n\n" + lines("{x} {y} 3.2"),
    "commas.csv": "Angle,Counts\n" + lines("{x},{y}"),
    "comma_blank.csv": lines("{x}, {y}"),
    "semicolons.csv": "sep=;\n" + lines("{x};{y}"),
    "decimal.csv": lines("{x};{y}").replace(".", ","),
    "decimal_tab.txt": lines("{x}\t{y}").replace(".", ","),
    "exponent.xy": lines("{x:e} {y:e}"),
    "dos.xy": lines("{x} {y}").replace("\n", "\r\n"),
    "downwards.xy": "\n".join(reversed(lines("{x} {y}").splitlines())),
}


@pytest.mark.parametrize("name", FORMATS)
def test_columns_are_read_as_they_are_written(name: str) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        pattern = read_powder_pattern(name, FORMATS[name].encode(encoding))
        assert np.allclose(pattern.angles, X) and np.allclose(pattern.intensities, Y)


XRDML = """<?xml version="1.0" encoding="UTF-8"?>
<xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/{version}" status="Completed">
 <xrdMeasurement measurementType="Scan">
  <usedWavelength intended="{intended}"><kAlpha1 unit="Angstrom">1.5405980</kAlpha1>
   <kAlpha2 unit="Angstrom">1.5444260</kAlpha2><kBeta unit="Angstrom">1.3922500</kBeta>
   <ratioKAlpha2KAlpha1>0.5000</ratioKAlpha2KAlpha1></usedWavelength>
  <scan scanAxis="Gonio"><dataPoints>
   <positions axis="2Theta" unit="deg"><startPosition>10</startPosition>
    <endPosition>60</endPosition></positions>
   <positions axis="Omega" unit="deg"><startPosition>5</startPosition>
    <endPosition>30</endPosition></positions>
   {points}
  </dataPoints></scan>
 </xrdMeasurement>
</xrdMeasurements>"""


def test_xrdml_of_both_kinds() -> None:
    counts = " ".join(map(str, Y))
    old = XRDML.format(
        version="1.3",
        intended="K-Alpha",
        points=f"<intensities unit='counts'>{counts}</intensities>",
    )
    pattern = read_powder_pattern("scan.xrdml", old.encode())
    assert np.allclose(pattern.intensities, Y)
    assert pattern.angles[[0, -1]].tolist() == [10, 60]
    assert pattern.wavelength == pytest.approx(1.541874, abs=1e-6)
    factors = " ".join("10" if abs(x - 30) < 1 else "1" for x in X)
    dimmed = " ".join(str(y / 10) if abs(x - 30) < 1 else str(y) for x, y in zip(X, Y, strict=True))
    new = XRDML.format(
        version="2.0",
        intended="K-Alpha 1",
        points=f"<beamAttenuationFactors>{factors}</beamAttenuationFactors><counts>{dimmed}</counts>",
    )
    pattern = read_powder_pattern("scan.xrdml", new.encode())
    assert np.allclose(pattern.intensities, Y), "counts behind an attenuator are scaled"
    assert pattern.wavelength == pytest.approx(1.540598)


BAD = {
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "no text"),
    "empty": (b"", "holds 0 points"),
    "a CIF": (SALT.to(fmt="cif").encode(), "holds .* points|no two numbers"),
    "one column": ("\n".join(map(str, Y)).encode(), "holds 0 points"),
    "a list of peaks": (b"27.4 12\n31.7 100\n45.4 55\n", "holds 3 points"),
    "words among numbers": (lines("{x} {y}\nhello").encode(), "Line 2"),
    "angles that jump": (lines("{y} {x}").encode(), "ascending"),
    "wavenumbers": (
        "\n".join(f"{400 + 10 * i} {i % 7}" for i in range(200)).encode(),
        "at most 180",
    ),
    "a flat line": ("\n".join(f"{x} 5" for x in X).encode(), "no peak"),
    "not a number": (lines("{x} {y}").replace(" 100.0", " 1e999", 1).encode(), "finite"),
    "cut XML": (XRDML[:200].encode(), "not complete XML"),
    "another XML": (b"<svg><path d='M0 0'/></svg>", "no scan over 2"),
    "entities": (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "entities"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_pattern_is_one_sentence(name: str) -> None:
    content, sentence = BAD[name]
    with pytest.raises(DataError, match=sentence) as caught:
        read_powder_pattern("file.xy", content)
    assert "\n" not in str(caught.value)


def test_several_scans_are_noted() -> None:
    counts = " ".join(map(str, Y))
    one = XRDML.format(
        version="1.3", intended="K-Alpha", points=f"<intensities>{counts}</intensities>"
    )
    start, end = one.index("<scan"), one.index("</scan>") + 7
    pattern = read_powder_pattern("two.xrdml", (one[:end] + one[start:]).encode())
    assert "2 scans" in pattern.notes[0]
