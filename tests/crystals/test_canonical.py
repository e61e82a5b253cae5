"""The canonical form is steady: tiny changes of the numbers do not choose another description."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from crystal_ldm.crystals.canonical import canonical_arrays, canonical_form
from crystal_ldm.errors import DataError

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
KINDS = {
    "fcc": ("Fm-3m", Lattice.cubic(3.61), ["Cu"], [[0, 0, 0]]),
    "hcp": ("P6_3/mmc", Lattice.hexagonal(3.21, 5.21), ["Mg"], [[1 / 3, 2 / 3, 0.25]]),
    "bcc": ("Im-3m", Lattice.cubic(2.87), ["Fe"], [[0, 0, 0]]),
    "rock salt": ("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "zinc blende": ("F-43m", Lattice.cubic(5.41), ["Zn", "S"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "rutile": (
        "P4_2/mnm", Lattice.tetragonal(4.59, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]],
    ),
    "layered": (
        "P-3m1", Lattice.hexagonal(3.59, 5.74), ["Tm", "O"], [[0, 0, 0], [1 / 3, 2 / 3, 0.3]],
    ),
}  # fmt: skip


def arrays(kind: str) -> Arrays:
    structure = Structure.from_spacegroup(*KINDS[kind])
    numbers = np.array([site.specie.Z for site in structure])
    return structure.lattice.matrix, structure.frac_coords, numbers


def farthest(one: Arrays, other: Arrays) -> float:
    """The largest difference of two cells, Å and fractions; infinite for other atoms."""
    if not np.array_equal(one[2], other[2]):
        return np.inf
    moved = one[1] - other[1]
    return float(max(np.abs(one[0] - other[0]).max(), np.abs(moved - moved.round()).max()))


@pytest.mark.slow
@given(st.sampled_from(sorted(KINDS)), st.sampled_from([1e-7, 1e-5, 1e-4]), st.integers(0, 2**31))
def test_a_small_strain_leaves_the_form(kind: str, strain: float, seed: int) -> None:
    lattice, coords, numbers = arrays(kind)
    change = np.random.default_rng(seed).uniform(-strain, strain, (3, 3))
    moved = canonical_arrays(lattice @ (np.eye(3) + change), coords, numbers)
    assert farthest(canonical_arrays(lattice, coords, numbers), moved) < 50 * strain + 1e-6


@pytest.mark.slow
@given(st.sampled_from(sorted(KINDS)), st.integers(0, 2**31))
def test_canonicalising_twice_is_canonicalising_once(kind: str, seed: int) -> None:
    lattice, coords, numbers = arrays(kind)
    rng = np.random.default_rng(seed)
    noisy = coords + rng.normal(scale=1e-4, size=coords.shape)
    once = canonical_arrays(lattice @ (np.eye(3) + rng.normal(0, 1e-4, (3, 3))), noisy, numbers)
    assert farthest(once, canonical_arrays(*once)) < 1e-6


@pytest.mark.parametrize("decimals", [4, 3])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_cif_with_few_decimals_has_the_same_form(kind: str, decimals: int) -> None:
    lattice, coords, numbers = arrays(kind)
    rounded = Lattice.from_parameters(*np.round(Lattice(lattice).parameters, decimals)).matrix
    other = canonical_arrays(rounded, coords.round(decimals), numbers)
    assert farthest(canonical_arrays(lattice, coords, numbers), other) < 20 * 10.0**-decimals


def test_the_crystal_itself_is_not_idealised() -> None:
    lattice, coords, numbers = arrays("rock salt")
    strained = lattice @ (np.eye(3) + np.diag([1e-3, 0, -1e-3]))
    volume = abs(np.linalg.det(canonical_arrays(strained, coords, numbers)[0]))
    assert volume == pytest.approx(abs(np.linalg.det(strained)) / 4, rel=1e-9)
    lengths = np.linalg.norm(canonical_arrays(strained, coords, numbers)[0], axis=1)
    assert np.ptp(lengths) > 1e-3


@pytest.mark.parametrize(
    ("structure", "reason"),
    [
        (Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]]), "disordered"),
        (Structure(Lattice(np.eye(3) * 4, pbc=(True, True, False)), ["Na"], [[0, 0, 0]]), "period"),
        (Structure([[1, 0, 0], [0, 1, 0], [1, 1, 1e-9]], ["Na"], [[0, 0, 0]]), "no volume"),
    ],
)
def test_what_is_no_crystal_has_no_form(structure: Structure, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        canonical_form(structure)
