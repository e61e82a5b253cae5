"""What a cell of the grid says of its crystals, and the two matrices that show it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from crystal_ldm.widgets.crystal_entry import CrystalEntry, from_result
from crystal_ldm.widgets.panels.rows import crystal_row, physical
from plotly.subplots import make_subplots

from crystal_ldm.evaluate.band_gap import estimate_band_gaps
from crystal_ldm.parallel import Workers
from crystal_ldm.sampling import SampleResult

MEASURES = {
    "gap": "Distance to the target gap (eV)",
    "group": "Most frequent space group",
    "valid": "Valid structures",
    "agreement": "Agreement of the decoder's elements",
}
"""What a cell can show, and how that is called."""


@dataclass
class Cell:
    """One cell of the matrix: its crystals, and what is said of them.

    Attributes:
        crystals: the crystals.
        valid: share whose distances and volume are physical.
        agreement: mean share of atoms whose element the decoder would have chosen itself.
        gap: mean distance of the gap that this project's predictor sees from the one that was
            asked for, eV; nan where none was.
        group: share of the most frequent space group.
        group_name: its symbol and number.
    """

    crystals: list[CrystalEntry] = field(default_factory=list)
    valid: float = math.nan
    agreement: float = math.nan
    gap: float = math.nan
    group: float = math.nan
    group_name: str = ""

    def text(self, measure: str) -> str:
        """Return what the cell shows, in words."""
        value = getattr(self, measure)
        if math.isnan(value):
            return ""
        if measure == "gap":
            return f"{value:.2f}"
        share = f"{value:.0%}"
        return f"{self.group_name.split()[0]}<br>{share}" if measure == "group" else share


def cell_of(result: SampleResult) -> Cell:
    """Return what is said of the crystals of one cell."""
    crystals = from_result(result)
    rows = [crystal_row(made.structure) | made.columns for made in crystals]
    group, count = Counter(row["space_group"] for row in rows).most_common(1)[0]
    return Cell(
        crystals,
        float(np.mean([physical(row) for row in rows])),
        float(result.element_agreement.nanmean()),
        _distance_to_gap(result),
        count / len(rows),
        group,
    )


def _distance_to_gap(result: SampleResult) -> float:
    targets = result.crystals.conditions.get("band_gap")
    if targets is None:
        return math.nan
    asked = np.asarray(targets, dtype=float).reshape(len(result), -1)
    here = Workers(here=True)
    gaps = estimate_band_gaps(result.to_structures(), "own", workers=here).gap
    outside = np.maximum(asked[:, 0] - gaps, gaps - asked[:, -1])  # of a range, or of one value
    return float(pd.Series(outside.clip(0)).mean())


def grid_figure(
    cells: Mapping[tuple[int, int], Cell],
    scales: Sequence[float],
    values: Sequence[float],
    label: str,
    opened: tuple[int, int] | None,
    measures: tuple[str, str],
) -> go.Figure:
    """Return two matrices, each of one of `MEASURES`."""
    titles = tuple(MEASURES[name] for name in measures)
    figure = make_subplots(rows=1, cols=2, subplot_titles=titles, horizontal_spacing=0.12)
    columns, rows = [f"{v:g}" for v in scales], [f"{v:g}" for v in values]
    for k, name in enumerate(measures, start=1):
        z = np.full((len(rows), len(columns)), np.nan)
        text = np.full(z.shape, "", dtype=object)
        for place, cell in cells.items():
            z[place], text[place] = getattr(cell, name), cell.text(name)
        far = name == "gap"
        figure.add_heatmap(
            x=columns,
            y=rows,
            z=z,
            text=text,
            texttemplate="%{text}",
            textfont_size=11,
            zmin=0,
            zmax=float(np.nanmax(z, initial=1.0)),
            colorscale="Viridis_r" if far else "Viridis",
            showscale=far,  # a share stands in its cell
            colorbar={"thickness": 8, "x": 0.445 if k == 1 else 1.005},
            xgap=2,
            ygap=2,
            hovertemplate=f"guidance %{{x}}, {label} %{{y}}: %{{text}}<extra></extra>",
            row=1,
            col=k,
        )
        if opened is not None:
            i, j = opened
            figure.add_shape(
                type="rect", x0=j - 0.5, x1=j + 0.5, y0=i - 0.5, y1=i + 0.5,
                line={"color": "#e65100", "width": 3}, row=1, col=k,
            )  # fmt: skip
    figure.update_xaxes(type="category", title={"text": "guidance scale", "font_size": 11})
    figure.update_yaxes(type="category", tickfont_size=11)
    figure.update_yaxes(title={"text": label, "font_size": 11}, row=1, col=1)
    figure.update_annotations(font_size=12)
    figure.update_layout(margin={"l": 56, "r": 8, "t": 28, "b": 44}, dragmode=False)
    return figure
