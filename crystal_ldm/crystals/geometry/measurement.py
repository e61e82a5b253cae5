"""Distances, angles and torsions between atoms at given places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from crystal_ldm.errors import DataError


@dataclass(frozen=True)
class Measurement:
    """What two, three or four atoms say.

    Attributes:
        kind: "distance", "angle" (at the second atom) or "torsion" (about the line from the second
            to the third).
        value: Å or degrees; a torsion is between -180 and 180, and positive where, seen from the
            second atom to the third, the last one is turned clockwise (IUPAC).
    """

    kind: str
    value: float

    def __str__(self) -> str:
        shown = f"{self.value:.3f} Å" if self.kind == "distance" else f"{self.value:.1f}°"
        return f"{self.kind} {shown}"


def measure(positions: ArrayLike) -> Measurement:
    """Return the distance of two, the angle of three or the torsion of four places.

    Args:
        positions: (2 to 4, 3) Cartesian, Å.

    Raises:
        DataError: there are more or fewer places, or some that coincide or lie on a line, so that
            there is no such angle.
    """
    from ase import Atoms

    points = np.asarray(positions, dtype=float)
    if points.ndim != 2 or points.shape[1] != 3 or not 2 <= len(points) <= 4:
        raise DataError("A measurement needs two, three or four atoms.")
    atoms = Atoms(f"X{len(points)}", positions=points)
    if len(points) == 2:
        return Measurement("distance", float(atoms.get_distance(0, 1)))
    try:
        if len(points) == 3:
            return Measurement("angle", float(atoms.get_angle(0, 1, 2)))
        turned = float(atoms.get_dihedral(0, 1, 2, 3))
    except ZeroDivisionError:
        turned = np.nan
    if not np.isfinite(turned):
        raise DataError("Atoms that coincide or lie on a line have no such angle.")
    return Measurement("torsion", turned - 360 if turned > 180 else turned)
