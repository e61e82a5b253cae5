"""Distances between distributions: identities, known values, other programs' numbers."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate.coverage import (
    composition_fingerprint,
    coverage,
    structure_fingerprint,
)
from crystal_ldm.evaluate.statistics import (
    frechet_distance,
    wasserstein,
    wasserstein_interval,
)


def test_wasserstein_of_shifted_samples_is_the_shift():
    values = np.random.default_rng(0).normal(size=500)
    assert wasserstein(values, values + 0.7) == pytest.approx(0.7)
    assert wasserstein(values, values) == 0.0
    assert wasserstein([*values, np.nan], values) == 0.0
    assert np.isnan(wasserstein([], values))


def test_the_interval_of_identical_samples_starts_at_zero():
    values = np.random.default_rng(0).normal(size=300)
    value, low, high = wasserstein_interval(values, values)
    assert (value, low) == (0.0, 0.0)
    assert high == 0.0
    value, low, high = wasserstein_interval(values + 0.5, values)
    assert low <= value <= high
    assert low > 0.3


def test_frechet_distance_of_gaussians_is_the_closed_form():
    generator = np.random.default_rng(0)
    n, shift, spread = 200_000, np.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 3.0])
    first = generator.normal(size=(n, 3))
    second = generator.normal(size=(n, 3)) * spread + shift
    expected = (shift**2).sum() + ((spread - 1) ** 2).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=0.02)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first))


def test_frechet_distance_sees_correlation():
    generator = np.random.default_rng(1)
    base = generator.normal(size=(50_000, 2))
    correlated = base @ np.linalg.cholesky(np.array([[1.0, 0.8], [0.8, 1.0]])).T
    # Both have unit variances: 4 - 2 (sqrt(1.8) + sqrt(0.2)).
    expected = 4 - 2 * (np.sqrt(1.8) + np.sqrt(0.2))
    assert frechet_distance(base, correlated) == pytest.approx(expected, abs=0.02)


def test_frechet_distance_refuses_what_it_cannot_use():
    with pytest.raises(EvaluationError, match="two arrays of finite"):
        frechet_distance([[1.0, 2.0], [1.0]], [[1.0, 2.0]])
    with pytest.raises(EvaluationError, match="two arrays"):
        frechet_distance(np.zeros((3, 2)), np.zeros((3, 4)))
    with pytest.raises(EvaluationError, match="two arrays"):
        frechet_distance(np.zeros((1, 2)), np.zeros((3, 2)))


def _packed(structure: Structure) -> Cell:
    return Cell.from_structure(structure)


def test_the_structure_fingerprint_names_coordination():
    body = _packed(Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    fingerprint = structure_fingerprint(body)
    assert fingerprint.shape == (61,)
    # Each coordination number has its weight, then weight times order parameters.
    eightfold = 2 + 6 + 4 + 6 + 4 + 4 + 3  # entries of 1- to 7-fold
    assert fingerprint[eightfold] > 0.9
    assert fingerprint[eightfold + 1] > 0.9  # body-centred
    assert fingerprint[:eightfold].max() < 0.1


def test_fingerprints_do_not_depend_on_the_cell():
    cell = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
    )
    double = cell.copy()
    double.make_supercell([2, 1, 1])
    first, second = structure_fingerprint(_packed(cell)), structure_fingerprint(_packed(double))
    assert first == pytest.approx(second, abs=1e-6)
    assert np.array_equal(
        composition_fingerprint(_packed(cell).formula_key),
        composition_fingerprint(_packed(double).formula_key),
    )


# What matminer 0.10.1 gives at some positions: CrystalNNFingerprint.from_preset("ops"), averaged
# over sites, and ElementProperty.from_preset("magpie") sorted by statistic.
_PEROVSKITE = {
    2: 0.31050072, 6: 0.03606683, 7: 0.31050072, 22: 0.48949928, 23: 0.09793311, 24: 0.48949928,
    25: 0.24474964, 44: 0.2, 45: 0.2, 47: 0.03818813, 48: 0.11490485,
}  # fmt: skip
_RUTILE = {
    2: 0.00413962, 8: 0.66252705, 9: 0.39230697, 10: 0.18640009, 11: 0.24705562, 12: 0.00206981,
    17: 0.00076949, 22: 0.33126352, 24: 0.3187722, 25: 0.16563176,
}  # fmt: skip
_STRONTIUM_TITANATE = {
    0: 8, 22: 38, 44: 30, 66: 16.8, 88: 10.56, 110: 8, 7: 0.95, 29: 3.44, 51: 2.49, 73: 2.562,
    95: 1.0536, 117: 3.44, 71: 3.0, 93: 1.2,
}  # fmt: skip


@pytest.mark.parametrize(("number", "expected"), [(0, _RUTILE), (50, _PEROVSKITE)])
def test_structure_fingerprints_are_matminers(known_crystals, number, expected):
    crystal = (
        known_crystals[0]
        if number == 0
        else Structure.from_spacegroup(
            "Pm-3m", Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
        )
    )
    found = structure_fingerprint(_packed(crystal))
    for position, value in expected.items():
        assert found[position] == pytest.approx(value, abs=2e-8)


def test_composition_fingerprints_are_matminers():
    key = ((8, 3), (22, 1), (38, 1))
    found = composition_fingerprint(key)
    assert found.shape == (132,)
    for position, value in _STRONTIUM_TITANATE.items():
        assert found[position] == pytest.approx(value, abs=1e-9)


def test_a_set_covers_itself_and_not_another_one(known_crystals, pool):
    halides = [_packed(crystal) for crystal in known_crystals[2:8]]
    metals = [_packed(crystal) for crystal in known_crystals[-3:]]
    covered, found, _ = coverage(halides, halides, 0.4, 10.0, pool)
    assert covered.mean() == found.mean() == 1.0
    covered, _, _ = coverage(metals, halides, 0.2, 1.0, pool)
    assert covered.mean() == 0.0
    covered, found, _ = coverage([*halides[:1], *metals], halides, 0.05, 0.05, pool)
    assert covered.mean() == 0.25
    assert found.mean() == pytest.approx(1 / 6)
    covered, _, errors = coverage([None, halides[0]], halides, 0.4, 10.0, pool)
    assert covered.mean() == 0.5 and errors == ["it could not be read", None]


def test_a_pooled_latent_is_the_mean_over_atoms_and_knows_no_choice_of_cell(known_crystals):
    from crystal_ldm.crystals import CrystalBatch
    from crystal_ldm.evaluate.latent_space import pooled_latents
    from tests.conftest import make_tiny_ldm

    crystals = known_crystals[:20]
    gaps = [float(i) for i in range(20)]
    batch = CrystalBatch.from_structures(crystals, {"band_gap": gaps})
    vae = make_tiny_ldm(batch).vae
    expected = pooled_latents(vae, batch)
    one = vae.encode(batch[[3]])[0, : int(batch.num_atoms[3])].detach().numpy()
    assert expected[3] == pytest.approx(one.mean(axis=0), abs=1e-5)
    double = [crystal.copy().make_supercell([1, 1, 2], in_place=False) for crystal in crystals]
    unknown = Structure(Lattice.cubic(4), ["Og"], [[0, 0, 0]])
    found = pooled_latents(vae, [*double, None, unknown])
    assert found[:20] == pytest.approx(expected, abs=1e-3)
    assert np.isnan(found[20:]).all()
    assert np.isnan(pooled_latents(vae, [None])).all()


def test_the_principal_plane_holds_the_largest_spread():
    from crystal_ldm.evaluate.latent_space import principal_plane

    generator = np.random.default_rng(0)
    reference = generator.normal(size=(4000, 3)) * [1.0, 3.0, 2.0] + 5.0
    (points, other), shares = principal_plane(reference, np.array([[5.0, 8.0, 5.0]]))
    assert points.std(axis=0) == pytest.approx([3.0, 2.0], rel=0.1)
    assert shares == pytest.approx([9 / 14, 4 / 14], rel=0.1)
    assert np.abs(other) == pytest.approx(np.array([[3.0, 0.0]]), abs=0.3)
    (again, _), _ = principal_plane(np.vstack([reference, [[np.nan] * 3]]), reference[:1])
    assert again[:-1] == pytest.approx(points) and np.isnan(again[-1]).all()
