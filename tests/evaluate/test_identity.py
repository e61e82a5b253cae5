"""The benchmark's checks on known sets, on a small one: it judges itself as it must."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
import torch

from benchmarks.quality_commands.evaluation import (
    against_itself,
    differences_from_pymatgen,
    metric_rows,
    rattled_row,
    with_random_species,
)
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.data import load_dataset
from crystal_ldm.evaluate import evaluate
from tests.evaluate.conftest import rattled


@pytest.fixture(scope="module")
def dataset(known_crystals, tmp_path_factory):
    return load_dataset(known_crystals, cache_dir=tmp_path_factory.mktemp("cache"), progress=False)


def test_a_data_set_against_itself(dataset):
    rows = np.arange(len(dataset))
    result = against_itself(dataset, rows, workers=2)
    assert result.value("novel") == 0.0
    assert result.value("structure_valid") == result.value("match_rate@1") == 1.0
    assert result.value("metre@1") == 1.0
    distances = [name for name in result.summary.index if str(name).startswith("wasserstein")]
    assert len(distances) == 3
    assert all(result.value(name) == 0.0 for name in distances)
    table = {row["metric"]: row for row in metric_rows(result)}
    real = table["composition_valid (reference)"]
    assert table["composition_valid"]["value"] == real["value"]
    assert real["n"] == len(rows) and "SMACT" in real["thresholds"]


def test_species_at_random_keep_the_stoichiometry_and_lower_validity(dataset):
    real = dataset.batch(np.arange(len(dataset)))
    random = with_random_species(real, seed=0)
    assert torch.equal(random.atomic_numbers > 0, real.atomic_numbers > 0)
    for before, after in zip(real.atomic_numbers, random.atomic_numbers, strict=True):
        counts = [sorted(x[x > 0].unique(return_counts=True)[1].tolist()) for x in (before, after)]
        assert counts[0] == counts[1]
    assert set(random.atomic_numbers.unique().tolist()) <= set(
        real.atomic_numbers.unique().tolist()
    )
    many = CrystalBatch.cat([with_random_species(real, seed) for seed in range(3)])
    valid = [
        evaluate(batch, metrics=("validity",), workers=1).value("composition_valid")
        for batch in (real, many)
    ]
    assert valid[1] < valid[0] - 0.1


def test_rattling_raises_rmse_as_rattled(dataset):
    batch = dataset.batch(np.flatnonzero(dataset.num_atoms >= 5))
    row = rattled_row(CrystalBatch.cat([batch] * 8), 0.05, argparse.Namespace(seed=0, workers=2))
    assert row["match"] == 1.0
    assert row["rmse"] == pytest.approx(row["expected rmse"], rel=0.1)


def test_the_evaluation_is_that_of_plain_pymatgen(known_crystals):
    generator = np.random.default_rng(0)
    truth = CrystalBatch.from_structures(known_crystals[:8])
    known = CrystalBatch.from_structures(known_crystals[::2])
    made = [
        rattled(crystal, sigma, generator)
        for crystal in truth.to_structures()
        for sigma in (0.02, 0.3)
    ]
    rows = [i for i in range(8) for _ in range(2)]
    pairs = CrystalBatch.from_structures([truth.to_structures()[i] for i in rows], canonical=False)
    result = evaluate(made, known, targets=pairs, ks=(1,), workers=2)
    found = differences_from_pymatgen(made, pairs, known, result, sample=16)
    assert {row["what"].split(":")[0] for row in found} == {
        "structure_valid", "space_group@0.1", "novel", "unique", "match rmse"
    }  # fmt: skip
    assert all(row["count"] == 0 and row["n"] == 16 for row in found)
    # The check can fail: a table that says the opposite is found out.
    result.table["novel"] = ~result.table["novel"]
    worse = differences_from_pymatgen(made, pairs, known, result, sample=16)
    assert next(row["count"] for row in worse if row["what"].startswith("novel")) == 16
