"""Every threshold of an evaluation, in one object that is printed with its results."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

from crystal_ldm.crystals.same_crystal import Tolerances
from crystal_ldm.errors import EvaluationError, suggest
from crystal_ldm.evaluate.validity import CompositionRules


@dataclass(frozen=True)
class Thresholds:
    """Thresholds with the field's usual values.

    Attributes:
        min_distance: shortest allowed distance between two atoms, Å.
        min_volume_per_atom: smallest allowed volume, Å³/atom.
        oxidation_states: SMACT's list of oxidation states ("smact14", "icsd16", "icsd24", ...).
        use_pauling: composition validity also asks for the electronegativity order.
        alloys_valid: compositions of metals only need no charge balance.
        ltol, stol, angle_tol: StructureMatcher's for uniqueness and novelty (angle in degrees).
        csp_ltol, csp_stol, csp_angle_tol: StructureMatcher's for structure prediction.
        symprec: distance tolerances of the space groups, Å.
        angle_tolerance: angle tolerance of the space groups, degrees.
        bond_factor: atoms are neighbours within this factor times the sum of covalent radii.
        structure_cutoff, composition_cutoff: largest fingerprint distances that count as covered.
        metal_probability: from this probability on a band gap predictor calls a crystal a metal.
        stable, metastable: largest energy above the hull, eV/atom.

    Raises:
        EvaluationError: if a value makes no sense.
    """

    min_distance: float = 0.5
    min_volume_per_atom: float = 0.1
    oxidation_states: str = "smact14"
    use_pauling: bool = True
    alloys_valid: bool = True
    ltol: float = 0.2
    stol: float = 0.3
    angle_tol: float = 5.0
    csp_ltol: float = 0.3
    csp_stol: float = 0.5
    csp_angle_tol: float = 10.0
    symprec: tuple[float, ...] = (0.01, 0.1)
    angle_tolerance: float = 5.0
    bond_factor: float = 1.25
    structure_cutoff: float = 0.4
    composition_cutoff: float = 10.0
    metal_probability: float = 0.5
    stable: float = 0.0
    metastable: float = 0.1

    def __post_init__(self) -> None:
        if isinstance(self.symprec, (int, float)):
            object.__setattr__(self, "symprec", (float(self.symprec),))
        else:
            object.__setattr__(self, "symprec", tuple(float(value) for value in self.symprec))
        if not self.symprec or any(value <= 0 for value in self.symprec):
            raise EvaluationError("symprec must be one or more distances above 0 Å.")
        for name in ("min_distance", "min_volume_per_atom"):
            value = getattr(self, name)
            if not value >= 0:
                raise EvaluationError(f"{name} must be at least 0, not {value!r}.")
        for name in ("angle_tolerance", "bond_factor", "structure_cutoff", "composition_cutoff"):
            value = getattr(self, name)
            if not value > 0:
                raise EvaluationError(f"{name} must be above 0, not {value!r}.")
        if not self.stable <= self.metastable:
            raise EvaluationError("The threshold 'stable' must not be above 'metastable'.")
        if not 0 <= self.metal_probability <= 1:
            raise EvaluationError(
                f"metal_probability must be between 0 and 1, not {self.metal_probability!r}."
            )
        known = ("smact14", "icsd16", "icsd24", "pymatgen_sp", "wiki")
        if self.oxidation_states not in known:
            hint = suggest(self.oxidation_states, known)
            raise EvaluationError(
                f"There is no list of oxidation states '{self.oxidation_states}'; "
                f"there are {', '.join(known)}.{hint}"
            )
        _ = self.same_crystal, self.prediction  # they check themselves

    @classmethod
    def from_keywords(cls, keywords: dict[str, Any]) -> Self:
        """Build from keyword arguments.

        Raises:
            EvaluationError: if a name is not known.
        """
        names = [f.name for f in fields(cls)]
        for name in keywords:
            if name not in names:
                raise EvaluationError(f"There is no threshold '{name}'.{suggest(name, names)}")
        return cls(**keywords)

    @property
    def same_crystal(self) -> Tolerances:
        """Tolerances of uniqueness and novelty."""
        return Tolerances(self.ltol, self.stol, self.angle_tol)

    @property
    def prediction(self) -> Tolerances:
        """Tolerances of crystal structure prediction."""
        return Tolerances(self.csp_ltol, self.csp_stol, self.csp_angle_tol)

    @property
    def composition_rules(self) -> CompositionRules:
        """Rules of composition validity."""
        return CompositionRules(self.oxidation_states, self.use_pauling, self.alloys_valid)
