"""X-ray powder patterns."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymatgen.core import Structure

RADIATION = "CuKa"


def xrd_pattern(structure: Structure) -> tuple[list[float], list[float]]:
    """Return angles 2θ in degrees (5 to 90) and intensities of a powder pattern, strongest 100."""
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pattern = XRDCalculator(RADIATION).get_pattern(structure, two_theta_range=(5, 90))
    return [float(v) for v in pattern.x], [float(v) for v in pattern.y]
