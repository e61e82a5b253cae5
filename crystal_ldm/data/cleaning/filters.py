"""What a crystal must satisfy to be used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from crystal_ldm.crystals.readers.entries import LabelValue


@dataclass(frozen=True)
class Filters:
    """Limits, each inclusive or exclusive as its message says. None: no such limit.

    Attributes:
        max_atoms: largest number of atoms in the primitive cell.
        min_distance: shortest allowed distance between two atoms, periodic images included, Å.
        max_volume: largest volume, Å³ per atom.
        min_volume: smallest volume, Å³ per atom.
        max_formation_energy: largest absolute formation energy, eV/atom.
        need_band_gap: whether the band gap must be given.
        unique: whether duplicates are removed.
    """

    max_atoms: int = 20
    min_distance: float = 0.5
    max_volume: float | None = None
    min_volume: float = 0.1
    max_formation_energy: float | None = None
    need_band_gap: bool = False
    unique: bool = False

    def atoms_reason(self, num_atoms: int) -> tuple[str, str] | None:
        """Return (kind, reason) if the primitive cell has too many atoms."""
        if num_atoms <= self.max_atoms:
            return None
        reason = f"The primitive cell has {num_atoms} atoms; at most {self.max_atoms} are used."
        return f"more than {self.max_atoms} atoms", reason

    def reason(
        self, labels: Mapping[str, LabelValue], volume: float, distance: float
    ) -> tuple[str, str] | None:
        """Return (kind, reason) why a crystal is not used, or None.

        Args:
            labels: the entry's labels.
            volume: Å³ per atom.
            distance: shortest distance, Å.
        """
        if self.need_band_gap and not _finite(labels.get("band_gap")):
            return "no band gap", "The band gap is not a finite number."
        energy = labels.get("formation_energy_per_atom")
        limit = self.max_formation_energy
        if limit is not None and isinstance(energy, float) and not abs(energy) < limit:
            kind = f"formation energy not within {limit:g} eV/atom"
            return kind, f"The formation energy is {energy:.2f} eV/atom."
        if self.max_volume is not None and not volume < self.max_volume:
            kind = f"{self.max_volume:g} Å³ per atom or more"
            return kind, f"The volume is {volume:.1f} Å³ per atom."
        if not volume > self.min_volume:
            return f"{self.min_volume:g} Å³ per atom or less", f"It has {volume:.3f} Å³ per atom."
        if not distance > self.min_distance:
            kind = f"atoms within {self.min_distance:g} Å"
            return kind, f"The shortest distance is {distance:.3f} Å."
        return None


def _finite(value: LabelValue) -> bool:
    return isinstance(value, float) and math.isfinite(value)
