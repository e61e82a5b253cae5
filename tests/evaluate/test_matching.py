"""Matches are pymatgen's; METRe and cRMSE follow their definition."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from crystal_ldm.crystals.same_crystal import Tolerances
from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate import csp_metrics, match_pairs


def _rattled(structure: Structure, sigma: float, generator: np.random.Generator) -> Structure:
    moved = structure.cart_coords + generator.normal(0, sigma, (len(structure), 3))
    return Structure(structure.lattice, structure.species, moved, coords_are_cartesian=True)


@pytest.mark.slow
def test_pairs_are_what_pymatgen_finds_number_by_number(known_crystals, pool):
    generator = np.random.default_rng(0)
    generated, references = [], []
    for i in range(200):
        reference = known_crystals[i % len(known_crystals)]
        other = known_crystals[generator.integers(len(known_crystals))]
        start = reference if i % 3 else other  # a third compares different crystals
        crystal = _rattled(start, 0.3 * generator.random(), generator)
        if i % 4 == 0:
            crystal.make_supercell([1, 1, 2])
        generated.append(crystal)
        references.append(reference)
    matcher = StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10)
    plain = [matcher.get_rms_dist(a, b) for a, b in zip(generated, references, strict=True)]
    found = match_pairs(generated, references, workers=pool)
    assert found.matched.tolist() == [value is not None for value in plain]
    assert 60 < found.matched.sum() < 190
    expected = [value[0] for value in plain if value is not None]
    # A last bit may differ: the workers have one thread each.
    assert found.rmse[found.matched] == pytest.approx(expected, rel=1e-12)
    assert found.match_rate == found.matched.mean()


def test_rmse_is_normalised_by_the_cube_root_of_volume_per_atom(pool):
    # One atom of a two-atom cell displaced by d: after the best translation both are d/2 away.
    a, d = 4.0, 0.2
    reference = Structure(np.eye(3) * a, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    moved = Structure(np.eye(3) * a, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5 + d / a]])
    found = match_pairs([moved], [reference], workers=pool)
    assert found.rmse[0] == pytest.approx((d / 2) / (a**3 / 2) ** (1 / 3), rel=1e-6)


@pytest.mark.slow
def test_rattling_raises_rmse_as_rattled(known_crystals, pool):
    generator = np.random.default_rng(1)
    crystals = [c for c in known_crystals if len(c) >= 5] * 10
    means = []
    for sigma in (0.0, 0.02, 0.04, 0.08):
        moved = [_rattled(crystal, sigma, generator) for crystal in crystals]
        means.append(match_pairs(moved, crystals, workers=pool).mean_rmse)
    assert means[0] < 1e-6
    # sqrt(3) sigma per atom, less the translation that the matcher takes out: (1 - 1/N)^(1/2).
    scale = np.mean([(c.volume / len(c)) ** (1 / 3) for c in crystals])
    for sigma, mean in zip((0.02, 0.04, 0.08), means[1:], strict=True):
        expected = np.sqrt(3 * (1 - 1 / 5)) * sigma / scale
        assert mean == pytest.approx(expected, rel=0.12)


def test_a_hopeless_crystal_is_a_miss_with_a_reason(known_crystals, pool):
    broken = known_crystals[0].copy()
    broken.translate_sites([0], [np.nan, 0, 0])
    found = match_pairs([broken, known_crystals[1]], known_crystals[:2], workers=pool)
    assert found.matched.tolist() == [False, True]
    assert "not finite" in found.errors[0]
    assert found.match_rate == 0.5
    flat = Structure(Lattice([[5, 0, 0], [0, 5, 0], [5, 5, 1e-6]]), ["Na"], [[0, 0, 0]])
    sodium = Structure(Lattice.cubic(3), ["Na"], [[0, 0, 0]])
    assert match_pairs([flat], [sodium], workers=1).errors == ["The cell has no volume."]


def test_prediction_at_k(known_crystals, pool):
    rutile, anatase, halide = known_crystals[0], known_crystals[1], known_crystals[2]
    generator = np.random.default_rng(2)
    close = _rattled(halide, 0.01, generator)
    far = _rattled(halide, 0.15, generator)
    # Polymorphs the wrong way round: a miss one by one, found when everyone is matched.
    candidates = [[anatase], [rutile], [far, close]]
    found = csp_metrics(candidates, [rutile, anatase, halide], ks=(1, 2), workers=pool)
    assert found.value("match_rate", 1) == pytest.approx(1 / 3)
    assert found.value("metre", 1) == 1.0
    assert found.value("match_rate", 1, "polymorphs") == 0
    assert found.value("metre", 1, "polymorphs") == 1.0
    direct = match_pairs([far, close], [halide, halide], workers=pool).rmse
    assert found.value("rmse", 1) == direct[0]
    assert found.value("rmse", 2) == min(direct) == direct[1]
    assert found.table["matched@1"].tolist() == [False, False, True]
    assert found.table["candidates"].tolist() == [1, 1, 2]


def test_corrected_rmse_counts_a_miss_with_stol(known_crystals, pool):
    references = known_crystals[2:14:3]  # different formulas
    candidates = [[references[0]], [references[1]], [], [known_crystals[0]]]
    found = csp_metrics(candidates, references, ks=(1,), workers=pool)
    assert found.value("metre", 1) == 0.5
    assert found.value("crmse", 1) == pytest.approx((0 + 0 + 0.5 + 0.5) / 4, abs=1e-9)
    assert found.value("rmse", 1) == pytest.approx(0, abs=1e-9)


def test_prediction_by_size_and_by_formula_seen(known_crystals, pool):
    references = [known_crystals[0], known_crystals[2], known_crystals[-4]]
    candidates = [[known_crystals[0]], [known_crystals[2]], [known_crystals[2]]]
    found = csp_metrics(candidates, references, (1,), seen_formulas=["TiO2"], workers=pool)
    assert found.value("match_rate", 1, "formula seen") == 1.0
    assert found.value("match_rate", 1, "formula not seen") == 0.5
    assert found.value("match_rate", 1, "6 to 10 atoms") == 1.0
    assert found.value("match_rate", 1, "1 to 5 atoms") == 0.5
    rows = found.summary
    assert rows[(rows["group"] == "all") & (rows["metric"] == "match_rate")]["n"].tolist() == [3]


@pytest.mark.slow
def test_the_order_of_the_references_does_not_matter(known_crystals, pool):
    generator = np.random.default_rng(3)
    references = known_crystals[:12]
    candidates = [[_rattled(c, 0.1, generator) for _ in range(3)] for c in references]
    first = csp_metrics(candidates, references, (1, 3), workers=pool)
    order = generator.permutation(12)
    second = csp_metrics(
        [candidates[i] for i in order], [references[i] for i in order], (1, 3), workers=pool
    )
    for metric in ("match_rate", "rmse", "metre", "crmse"):
        assert first.value(metric, 3) == pytest.approx(second.value(metric, 3))


def test_bad_input_is_one_sentence(known_crystals):
    with pytest.raises(EvaluationError, match="as many of each"):
        match_pairs(known_crystals[:2], known_crystals[:3])
    for ks in ((0,), (), (1.5,), ("1",), 5):
        with pytest.raises(EvaluationError, match="at least 1"):
            csp_metrics([[known_crystals[0]]], known_crystals[:1], ks=ks)
    with pytest.raises(EvaluationError, match="tolerance stol"):
        Tolerances(stol=0)
