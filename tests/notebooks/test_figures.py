"""The notebooks' figures show the numbers that they are given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from crystal_ldm.widgets import figures
from pymatgen.core import Lattice, Structure

ROCKSALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]
)
CAESIUM = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])


def areas(figure: go.Figure) -> list[float]:
    return [float(np.dot(trace.y, trace.width)) for trace in figure.data]


def test_histograms_count_every_crystal_once() -> None:
    figure = figures.atoms_figure([1, 2, 2, 20])
    assert dict(zip(figure.data[0].x, figure.data[0].y, strict=True))[2] == 2
    assert sum(figure.data[0].y) == 4
    values = np.concatenate([np.zeros(500), np.linspace(0.1, 5, 300), [np.nan]])
    gaps = figures.values_figure(values, "band_gap", "eV")
    assert sum(gaps.data[0].y) == 300
    assert "500 more crystals have exactly 0 (metals)" in gaps.layout.annotations[0].text
    energies = figures.values_figure(np.linspace(-3, 1, 50), "formation_energy_per_atom")
    assert sum(energies.data[0].y) == 50 and not energies.layout.annotations


def test_every_element_has_one_place_and_the_colour_of_its_count() -> None:
    figure = figures.element_figure({"O": 1000, "Fe": 10}, "Elements")
    absent, present = figure.data
    symbols = [text for trace in (absent, present) for text in np.ravel(trace.text) if text]
    assert len(symbols) == len(set(symbols)) == 118
    colour = {s: z for s, z in zip(np.ravel(present.text), np.ravel(present.z), strict=True) if s}
    assert colour == {"O": 3.0, "Fe": 1.0}
    assert present.text[1][15] == "O" and absent.text[7][2] == "La" and absent.text[0][0] == "H"


def test_the_star_stands_at_the_lowest_loss_of_the_choosing_part() -> None:
    lines = [{"step": s, "loss": 10.0 / s, "kl": 2.0} for s in range(10, 110, 10)]
    lines += [{"step": 50, "val_loss": 0.4}, {"step": 100, "val_loss": 0.5}]
    figure = figures.loss_figure(lines)
    star = next(trace for trace in figure.data if trace.name == "best weights")
    assert (star.x[0], star.y[0]) == (50, 0.4)
    assert next(t for t in figure.data if t.name == "kl").visible == "legendonly"
    assert figure.layout.yaxis.type == "log"
    assert figures.loss_figure([]).layout.yaxis.type != "log"


def test_the_star_stands_at_the_highest_match_rate_where_that_chooses() -> None:
    lines = [{"step": s, "loss": 10.0 / s} for s in range(10, 110, 10)]
    lines += [{"step": s, "val_loss": 0.1 + 1.0 / s} for s in (50, 100)]
    lines += [{"step": 50, "val_match": 0.5, "val_rmse": 0.1}, {"step": 80, "val_match": 0.5}]
    lines[-1]["val_rmse"] = 0.08
    figure = figures.loss_figure(lines)
    (star,) = [trace for trace in figure.data if trace.name == "best weights"]
    assert (star.x[0], star.y[0], star.yaxis) == (80, 0.5, "y2")
    assert figure.layout.yaxis.type == "log" and figure.layout.yaxis2.type != "log"


def test_distributions_have_area_one_whatever_the_size_of_a_set() -> None:
    random = np.random.default_rng(0)
    samples = {"made": random.normal(5, 0.2, 30), "known": random.normal(5, 0.3, 5000)}
    figure = figures.distribution_figure(samples, "density", "g/cm³")
    assert areas(figure) == pytest.approx([1, 1], abs=0.05)
    whole = figures.distribution_figure({"made": [1, 2, 2, 3]}, "elements")
    assert list(whole.data[0].x) == [1, 2, 3] and areas(whole) == pytest.approx([1])
    assert not figures.distribution_figure({"made": [np.nan]}, "density").data


def test_a_grid_draws_the_atoms_of_each_crystal_and_names_its_elements_once() -> None:
    figure = figures.crystal_grid([ROCKSALT, CAESIUM, CAESIUM], ["a", "b", "c"], columns=2)
    drawn = [t for t in figure.data if t.mode == "markers" and t.x[0] is not None]
    # Atoms on faces, edges and corners are drawn at the opposite ones too.
    assert [len(t.x) for t in drawn] == [27, 9, 9]
    assert sorted(t.name for t in figure.data if t.showlegend is None) == ["Cl", "Cs", "Na"]
    assert [a.text for a in figure.layout.annotations] == ["a", "b", "c"]
    with pytest.raises(ValueError, match="a title for each"):
        figures.crystal_grid([ROCKSALT], [])


def test_latent_map_keeps_the_number_of_each_crystal() -> None:
    points = np.arange(8.0).reshape(4, 2)
    figure = figures.latent_figure(
        points, [1, np.nan, 3, 4], ["a", "b", "c", "d"], "gap", [0.5, 0.2]
    )
    unknown, known = figure.data
    assert list(known.customdata) == [0, 2, 3] and list(unknown.customdata) == [1]
    assert list(known.text) == ["a", "c", "d"] and list(known.marker.color) == [1, 3, 4]
    assert "50 %" in figure.layout.xaxis.title.text


def test_rates_carry_their_intervals_and_targets_what_is_known_of_both() -> None:
    table = pd.DataFrame({"value": 0.8, "ci_low": 0.5, "ci_high": 0.95, "n": 9}, index=["valid"])
    bars = figures.rates_figure({"mine": table}, "Rates").data[0]
    assert bars.error_x.array[0] == pytest.approx(0.15)
    assert bars.error_x.arrayminus[0] == pytest.approx(0.3)
    figure = figures.target_figure([2.0, np.nan, 1.0], [1.5, 1.0, np.nan], list("abc"), "Gap", "eV")
    assert list(figure.data[-1].x) == [2.0] and list(figure.data[-1].text) == ["a"]
    assert figure.data[0].x[0] == 0.0 and figure.data[0].x[1] > 2.0
    below = figures.target_figure([-3.0, -1.0], [-2.5, -1.5], list("ab"), "Energy", "eV").data[0]
    assert below.x[0] < -3.0 and below.x[1] > -1.0, "the line of what was asked for spans all"
    groups = figures.space_group_figure(["Pm-3m", "P1", "Pm-3m", None])
    assert dict(zip(groups.data[0].x, groups.data[0].y, strict=True)) == {
        "Pm-3m": 2, "P1": 1, "none found": 1}  # fmt: skip


def test_tolerance_and_agreement_show_each_point() -> None:
    match, rmse = figures.tolerance_figure([0, 0.1], [1.0, 0.9], [0.01, 0.1]).data
    assert list(match.y) == [1.0, 0.9] and list(rmse.y) == [0.01, 0.1] and rmse.yaxis == "y2"
    points = figures.agreement_figure([1.9, 0.3], [np.nan, 0.5], ["a", "b"]).data[0]
    assert list(points.y) == [1.0, 0.5]
