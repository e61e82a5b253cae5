"""Calibration against known answers, with the real predictor and with a real, tiny model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import EvaluationError, FormulaError, RequestError
from crystal_ldm.evaluate import evaluate
from crystal_ldm.evaluate.band_gap import BandGaps, estimate_band_gaps
from crystal_ldm.evaluate.calibration import (
    calibrate_band_gap,
    calibrate_decoding,
    calibrate_model,
    calibration_row,
    rate_row,
    sizes_as_trained,
)


def _predicted(gaps: list[float]) -> BandGaps:
    gap = np.array(gaps)
    metal = gap == 0
    return BandGaps(gap, metal, metal.astype(float), [None] * len(gaps))


def test_a_row_counts_what_is_near_its_target():
    valid = np.array([True, False, True, True])
    row = calibration_row("model", 3.0, 1.0, _predicted([2.9, 3.1, 3.6, 0.0]), valid)
    assert (row["within 0.25"], row["within 0.5"], row["within 1"]) == (0.5, 0.5, 0.75)
    assert (row["metal"], row["n"], row["predicted"]) == (0.25, 4, 4)
    assert row["valid"] == 0.75
    assert row["within 0.5 low"] < row["within 0.5"] < row["within 0.5 high"]
    # What the predictor cannot take is near no target and stays in n.
    row = calibration_row("model", 3.0, 2.0, _predicted([3.0, 3.2, 3.0, np.nan]), valid)
    assert (row["within 0.25"], row["n"], row["predicted"]) == (0.75, 4, 3)
    row = calibration_row("model", 0.0, 2.0, _predicted([0.0, 0.0, 3.0, 0.2]), valid)
    assert (row["within 0.25"], row["metal"]) == (0.75, 0.5)


def test_calibration_with_the_real_predictor(pool, known_crystals):
    halides, metals = known_crystals[2:8], known_crystals[-3:]
    own = estimate_band_gaps(halides, workers=pool).gap
    target = float(np.median(own))
    table = calibrate_band_gap(
        {(target, 2.0): halides}, base=metals, real=(halides, own), workers=pool, max_real=4
    )
    base = table[table["kind"] == "base rate"].iloc[0]
    assert (base["metal"], base["within 1"]) == (1.0, 0.0)
    model = table[table["kind"] == "model"].iloc[0]
    assert model["within 1"] == np.mean(np.abs(own - target) <= 1.0)
    ceiling = table[table["kind"] == "ceiling"].iloc[0]
    assert ceiling["n"] <= 4
    assert ceiling["within 0.25"] == 1.0
    assert (table["valid"] == 1.0).all()
    assert table["kind"].tolist() == ["ceiling", "base rate", "model"]


def test_rates_against_scale_and_steps():
    row = rate_row(1.0, 20, {"agreement": [1.0, 0.5, np.nan, 0.5], "valid": [1, 0, True, True]})
    assert (row["scale"], row["steps"], row["n"]) == (1.0, 20, 4)
    assert (row["agreement"], row["valid"]) == (0.5, 0.75)
    assert row["valid low"] < row["valid"] < row["valid high"]


@pytest.fixture(scope="module")
def ldm(known_crystals):
    from tests.conftest import make_tiny_ldm

    gaps = np.linspace(0.0, 4.0, len(known_crystals)).tolist()
    return make_tiny_ldm(
        CrystalBatch.from_structures(known_crystals, {"band_gap": gaps}), composition_model=True
    )


def test_a_model_is_asked_for_every_cell_of_the_table(ldm, known_crystals, pool):
    table = calibrate_model(
        ldm, 5, targets=(1.0, 3.0), scales=(1, 2), real=(known_crystals, [3.0] * 65), seed=3,
        sampling={"sampling_steps": 2}, workers=pool,
    )  # fmt: skip
    kinds = table.groupby("kind")["n"].agg(list).to_dict()
    assert kinds == {"base rate": [5, 5], "ceiling": [5], "model": [5] * 4}
    base = table[table["kind"] == "base rate"].drop(columns="target")
    assert base["metal"].nunique() == 1
    # A cell is what sampling and predicting by hand gives.
    sizes = sizes_as_trained(ldm, 5, 3).tolist()
    request = CrystalBatch.from_num_atoms(sizes, band_gap=[3.0] * 5)
    by_hand = ldm.sample(request, 1, cfg_scale={"band_gap": 1.0}, sampling_steps=2, seed=3)
    other = ldm.sample(request, 1, cfg_scale=1.0, sampling_steps=2, seed=3)
    assert not torch.allclose(by_hand.crystals.lattices, other.crystals.lattices)
    gaps = estimate_band_gaps(by_hand, workers=pool)
    row = table[(table["target"] == 3.0) & (table["scale"] == 1.0)].iloc[0]
    assert row["metal"] == gaps.metal.mean()
    assert row["predicted"] == np.isfinite(gaps.gap).sum()
    assert row["within 1"] == np.mean(np.abs(gaps.gap - 3.0) <= 1.0)
    assert row["valid"] == evaluate(by_hand, metrics=("validity",), workers=1).value("valid")


def test_elements_can_be_left_out_of_requests_and_of_the_ceiling(ldm, known_crystals, pool):
    gaps = [3.0] * len(known_crystals)
    options = {
        "targets": [3.0], "scales": [1.0], "sampling": {"sampling_steps": 2}, "workers": pool,
    }  # fmt: skip
    anions = ["F", "Cl", "Br", "I", "O"]
    kept = [c for c in known_crystals if not {e.symbol for e in c.composition} & set(anions)]
    assert 0 < len(kept) < len(known_crystals)
    table = calibrate_model(
        ldm, 100, real=(known_crystals, gaps), forbidden=anions, **options
    ).set_index("kind")
    assert table.loc["ceiling", "n"] == len(kept)
    request = CrystalBatch.from_num_atoms(
        sizes_as_trained(ldm, 100, 0).tolist(), forbidden=anions, band_gap=[3.0] * 100
    )
    by_hand = ldm.sample(request, 1, cfg_scale={"band_gap": 1.0}, sampling_steps=2, seed=0)
    made = estimate_band_gaps(by_hand, workers=pool)
    assert table.loc["model", "metal"] == made.metal.mean()
    with pytest.raises(FormulaError, match="'Xx' is not an element symbol"):
        calibrate_model(ldm, 5, forbidden=["Xx"], **options)


def test_decoding_is_evaluated_for_each_scale_and_number_of_steps(ldm, known_crystals, pool):
    request = CrystalBatch.from_formulas(["NaCl", "SrTiO3", "TiO2"])
    table = calibrate_decoding(ldm, request, scales=(1, 3), steps=(1, 2), workers=pool)
    assert table[["scale", "steps"]].to_numpy().tolist() == [[1, 1], [1, 2], [3, 1], [3, 2]]
    assert (table["n"] == 3).all()
    by_hand = ldm.sample(request, 1, cfg_scale=3.0, sampling_steps=2, seed=0)
    row = table.iloc[3]
    assert row["agreement"] == pytest.approx(by_hand.element_agreement.mean().item())
    found = evaluate(by_hand, metrics=("validity",), workers=1)
    assert row["structure_valid"] == found.value("structure_valid")
    for name in ("structure_valid", "valid", "agreement"):
        assert (table[f"{name} low"] <= table[name]).all()
        assert (table[name] <= table[f"{name} high"]).all()


def test_what_cannot_be_calibrated_is_one_sentence(ldm, known_crystals):
    with pytest.raises(EvaluationError, match="2 real crystals and 1 true gaps"):
        calibrate_band_gap(
            {(1.0, 1.0): known_crystals[:1]}, real=(known_crystals[:2], [1.0]), workers=1
        )
    with pytest.raises(EvaluationError, match="at least one"):
        calibrate_model(ldm, 0)
    with pytest.raises(EvaluationError, match="at least one"):
        calibrate_decoding(ldm, CrystalBatch.from_formulas(["NaCl"]), scales=())
    with pytest.raises(RequestError, match="band_gap"):
        calibrate_model(ldm, 1, targets=(-1.0,))


def test_a_model_without_band_gap_is_refused(known_crystals):
    from tests.conftest import make_tiny_ldm

    gaps = np.linspace(0.0, 4.0, len(known_crystals)).tolist()
    other = make_tiny_ldm(CrystalBatch.from_structures(known_crystals, {"band_gap": gaps}))
    del other.sampler_network.conditions["band_gap"]
    with pytest.raises(EvaluationError, match="no condition 'band_gap'; it has composition"):
        calibrate_model(other, 1)


def test_figures_show_every_cell_with_its_interval(known_crystals):
    from crystal_ldm.widgets import figures

    gaps, valid = _predicted([2.9, 3.1, 3.6, 0.0]), np.array([True, False, True, True])
    cells = [("model", 1.0), ("model", 2.0), ("ceiling", np.nan), ("base rate", np.nan)]
    rows = [
        calibration_row(kind, target, scale, gaps, valid)
        for kind, scale in cells
        for target in (0.0, 3.0)
    ]
    figure = figures.calibration_figure(pd.DataFrame(rows))
    assert len(figure.data) == 4 * 3  # three panels: near the target, metals, valid
    names = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(names) == [
        "asked for nothing", "guidance 1", "guidance 2", "real crystals with that value"
    ]  # fmt: skip
    near, metals = (
        next(t for t in figure.data if t.name == "guidance 2" and t.yaxis == axis)
        for axis in ("y", "y2")
    )
    assert list(near.x) == [0.0, 3.0] and list(near.y) == [0.25, 0.5]
    assert near.y[1] + near.error_y.array[1] == pytest.approx(rows[1]["within 0.5 high"])
    assert list(metals.y) == [0.25, 0.25] and near.customdata.ravel().tolist() == [4, 4]
    assert "4 crystals a point" in figure.layout.title.text

    cells = [(scale, steps) for scale in (1.0, 2.0) for steps in (5, 10)]
    table = pd.DataFrame([rate_row(*cell, {"valid": [1, 1, 0]}) for cell in cells])
    lines = figures.guidance_figure(table, ["valid"]).data
    assert [line.name for line in lines] == ["5 steps", "10 steps"]
    assert list(lines[0].x) == [1, 2] and lines[0].y[0] == pytest.approx(2 / 3)

    rates = evaluate(known_crystals[:3], metrics=("validity",), workers=1).summary
    two = figures.rates_figure({"a": rates, "b": rates}, "Rates")
    assert [bar.name for bar in two.data] == ["a (3)", "b (3)"]
    assert list(two.data[1].x) == rates["value"].tolist()
