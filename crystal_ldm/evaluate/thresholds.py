"""Every threshold of an evaluation, in one object that is printed with its results."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    field_validator,
    model_validator,
)

from crystal_ldm.config.numbers import Number, plain_number, sentence
from crystal_ldm.crystals.same_crystal import Tolerances
from crystal_ldm.errors import EvaluationError

_Positive = Annotated[Number, Field(gt=0)]


class Thresholds(BaseModel):
    """Thresholds with the field's usual values.

    Attributes:
        min_distance: shortest allowed distance between two atoms, Å.
        contact: shortest allowed distance of two atoms in units of the usual one of their elements
            (`crystals.geometry.distances`); 0: none.
        min_volume_per_atom: smallest allowed volume, Å³/atom.
        oxidation_states: SMACT's list of oxidation states; "smact14" is the one behind the numbers
            published since CDVAE, "icsd24" a newer and longer one.
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
        EvaluationError: if there is no such threshold, or a value makes no sense.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_distance: Number = Field(0.5, ge=0)
    contact: Number = Field(0.95, ge=0)
    min_volume_per_atom: Number = Field(0.1, ge=0)
    oxidation_states: Literal["smact14", "icsd16", "icsd24", "pymatgen_sp", "wiki"] = "smact14"
    use_pauling: StrictBool = True
    alloys_valid: StrictBool = True
    ltol: _Positive = 0.2
    stol: _Positive = 0.3
    angle_tol: _Positive = 5.0
    csp_ltol: _Positive = 0.3
    csp_stol: _Positive = 0.5
    csp_angle_tol: _Positive = 10.0
    symprec: Annotated[tuple[_Positive, ...], Field(min_length=1)] = (0.01, 0.1)
    angle_tolerance: _Positive = 5.0
    bond_factor: _Positive = 1.25
    structure_cutoff: _Positive = 0.4
    composition_cutoff: _Positive = 10.0
    metal_probability: Number = Field(0.5, ge=0, le=1)
    stable: Number = 0.0
    metastable: Number = 0.1

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise EvaluationError(sentence(type(self), error, "threshold")) from None

    @field_validator("symprec", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        plain = plain_number(value)
        return (plain,) if isinstance(plain, int | float) else value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.stable > self.metastable:
            raise ValueError("The threshold 'stable' must not be above 'metastable'.")
        return self

    @property
    def same_crystal(self) -> Tolerances:
        """Tolerances of uniqueness and novelty."""
        return Tolerances(self.ltol, self.stol, self.angle_tol)

    @property
    def prediction(self) -> Tolerances:
        """Tolerances of crystal structure prediction."""
        return Tolerances(self.csp_ltol, self.csp_stol, self.csp_angle_tol)
