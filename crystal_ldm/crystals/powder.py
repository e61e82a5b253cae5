"""X-ray powder patterns: simulated, measured, and how much one is like the other."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystal_ldm.errors import DataError

if TYPE_CHECKING:
    from pymatgen.core import Structure

RADIATIONS = {"Cu Kα": "CuKa", "Mo Kα": "MoKa", "Co Kα": "CoKa"}
"""What pymatgen calls the usual radiations."""
DEGREES = (5.0, 90.0)
"""2θ of the patterns that are simulated."""
SHORTEST, LONGEST = 0.1, 5.0
"""Å; wavelengths outside are a mistake."""
SHIFT = 1.0
"""Degrees 2θ within which peaks count as near each other, more the nearer they are."""
NARROWEST, WIDEST = 0.02, 3.0
"""Degrees; full widths at half maximum that a peak can have."""


@dataclass(frozen=True)
class PowderPattern:
    """A measured pattern.

    Attributes:
        angles: 2θ in degrees, ascending, (n,).
        intensities: counts or any other unit, (n,).
        wavelength: Å, where the file states it.
        notes: what of the file was not used, one sentence each.
    """

    angles: NDArray[np.float64]
    intensities: NDArray[np.float64]
    wavelength: float | None = None
    notes: tuple[str, ...] = ()


def wavelength_of(radiation: str | float) -> float:
    """Return the wavelength in Å of one of `RADIATIONS`, or of a number in Å.

    Raises:
        DataError: it is neither, or is not between 0.1 and 5 Å.
    """
    from pymatgen.analysis.diffraction.xrd import WAVELENGTHS

    if isinstance(radiation, str) and radiation.strip() in RADIATIONS:
        return float(WAVELENGTHS[RADIATIONS[radiation.strip()]])
    try:
        value = float(radiation)
    except (TypeError, ValueError):
        value = math.nan
    if not SHORTEST <= value <= LONGEST:
        raise DataError(
            f"The wavelength should be {', '.join(RADIATIONS)} or a number in Å from {SHORTEST:g} "
            f"to {LONGEST:g}, not '{radiation}'."
        )
    return value


def xrd_pattern(
    structure: Structure,
    radiation: str | float = "Cu Kα",
    two_theta: tuple[float, float] = DEGREES,
) -> tuple[list[float], list[float]]:
    """Return angles 2θ in degrees and intensities of a powder pattern, the strongest being 100.

    Args:
        structure: the crystal.
        radiation: see `wavelength_of`.
        two_theta: lowest and highest angle, degrees.

    Raises:
        DataError: for what is no wavelength, and for an element whose scattering nobody tabulated.
    """
    from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS, XRDCalculator

    unknown = {s.symbol for s in structure.composition.elements} - ATOMIC_SCATTERING_PARAMS.keys()
    if unknown:
        raise DataError(f"There are no scattering factors of {', '.join(sorted(unknown))}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calculator = XRDCalculator(wavelength_of(radiation))
        try:
            pattern = calculator.get_pattern(structure, two_theta_range=two_theta)
        except ValueError:  # no reflection lies between these angles
            return [], []
    return [float(v) for v in pattern.x], [float(v) for v in pattern.y]


def broadened(
    angles: ArrayLike, intensities: ArrayLike, grid: ArrayLike, width: float
) -> NDArray[np.float64]:
    """Return a pattern of lines as a curve: each line becomes a Gaussian of equal area.

    Args:
        angles, intensities: (n,) of the lines.
        grid: (m,) degrees 2θ at which the curve is wanted.
        width: full width at half maximum, degrees.
    """
    sigma = width / (2 * math.sqrt(2 * math.log(2)))
    apart = np.asarray(grid, dtype=float)[:, None] - np.asarray(angles, dtype=float)[None]
    profiles = np.exp(-0.5 * (apart / sigma) ** 2)
    curve: NDArray[np.float64] = profiles @ np.asarray(intensities, dtype=float)
    return curve


def without_background(intensities: ArrayLike, points: int) -> NDArray[np.float64]:
    """Return a measured curve without what lies below its peaks.

    The background is found by clipping peaks in a logarithmic scale (SNIP: Ryan et al., Nucl.
    Instrum. Methods B 1988, 34, 396; with decreasing windows as in Morháč et al., Nucl. Instrum.
    Methods A 1997, 401, 113).

    Args:
        intensities: (n,).
        points: half the width of the widest peak, in points.
    """
    counts = np.clip(np.asarray(intensities, dtype=float), 0, None)
    counts = counts / max(float(counts.max(initial=0.0)), 1e-300) * 1e4  # a scale of its own
    low = np.log(np.log(np.sqrt(counts + 1) + 1) + 1)
    for reach in range(min(points, (len(low) - 1) // 2), 0, -1):
        around = (low[: -2 * reach] + low[2 * reach :]) / 2
        low[reach:-reach] = np.minimum(low[reach:-reach], around)
    background = (np.exp(np.exp(low) - 1) - 1) ** 2 - 1
    peaks: NDArray[np.float64] = np.clip(counts - background, 0, None)
    return peaks


@dataclass(frozen=True)
class Comparison:
    """A measured and a simulated pattern on one grid.

    Attributes:
        grid: 2θ in degrees, the range that both have.
        measured: without its background, the highest point being 100.
        simulated: broadened, the highest point being 100.
        similarity: from 0 to 1, see `compare`.
    """

    grid: NDArray[np.float64]
    measured: NDArray[np.float64]
    simulated: NDArray[np.float64]
    similarity: float


def compare(
    pattern: PowderPattern, structure: Structure, radiation: str | float, width: float
) -> Comparison:
    """Compare a measured pattern with the one that a crystal would give.

    The similarity is that of de Gelder, Wehrens and Hageman (J. Comput. Chem. 2001, 22, 273): the
    cross-correlation of both curves within 1 degree, weighted by a triangle and normalised by the
    autocorrelations. It is 1 for equal curves, and falls gradually where peaks are shifted.

    Args:
        pattern: what was measured; its background is taken away.
        structure: the crystal.
        radiation: see `wavelength_of`.
        width: full width at half maximum of the simulated peaks, degrees.

    Raises:
        DataError: for what is no wavelength or width, or no common range of angles.
    """
    if not NARROWEST <= width <= WIDEST:
        raise DataError(f"The peak width should be {NARROWEST:g} to {WIDEST:g} degrees 2θ.")
    low = max(DEGREES[0], float(pattern.angles[0]))
    high = min(DEGREES[1], float(pattern.angles[-1]))
    if high - low < 2 * SHIFT:
        raise DataError(
            f"The measured pattern covers {pattern.angles[0]:.1f}° to {pattern.angles[-1]:.1f}° "
            f"2θ, and the simulated one {DEGREES[0]:g}° to {DEGREES[1]:g}°: too little in common."
        )
    step = min(0.05, width / 5)
    grid: NDArray[np.float64] = np.arange(low, high, step, dtype=np.float64)
    counts = np.interp(grid, pattern.angles, pattern.intensities)
    peaks = without_background(counts, round(max(1.0, 4 * width) / step))
    lines = xrd_pattern(structure, radiation, (low, high))
    curve = broadened(*lines, grid, width)
    return Comparison(grid, _to_100(peaks), _to_100(curve), similarity(peaks, curve, step))


def similarity(first: ArrayLike, second: ArrayLike, step: float) -> float:
    """Return how alike two curves without background are, from 0 to 1; see `compare`.

    Args:
        first, second: (n,) at the same angles.
        step: degrees from one point to the next.
    """
    from scipy.signal import fftconvolve

    reach = max(1, round(SHIFT / step))
    triangle = 1 - np.abs(np.arange(-reach, reach + 1)) / reach
    f, g = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if not f.any() or not g.any():
        return 0.0
    f, g = f / np.abs(f).max(), g / np.abs(g).max()
    near = {name: fftconvolve(curve, triangle, mode="same") for name, curve in (("f", f), ("g", g))}
    norm = math.sqrt(float(f @ near["f"]) * float(g @ near["g"]))
    return float(np.clip(float(f @ near["g"]) / norm, 0.0, 1.0))


def _to_100(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    highest = float(curve.max(initial=0.0))
    return curve * (100 / highest) if highest > 0 else curve
