"""What an evaluation returns: a table with a row for each crystal, and a summary of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import pandas as pd

from crystal_ldm.errors import EvaluationError, no_such
from crystal_ldm.evaluate.thresholds import Thresholds
from crystal_ldm.files.writing import atomic_write, make_folder, safe_cell


@dataclass
class Evaluation:
    """The result of `evaluate`.

    The table's columns, of which it has those that were asked for:

    | column | says |
    |---|---|
    | `id`, `row`, `number` | name; row of the request, and number in it |
    | `formula`, `num_atoms`, `num_elements` | reduced; of the cell; different ones |
    | `density`, `volume_per_atom` | g/cm³, Å³ |
    | `min_distance` | the shortest one between two atoms, Å |
    | `contact` | the same in units of the usual distance of the two elements |
    | `coordination` | mean number of neighbours of an atom |
    | `structure_valid`, `contacts_valid` | by `min_distance` and volume; by `contact`, too |
    | `composition_valid`, `composition_rule` | whether charges can balance; what decided |
    | `valid` | contacts and composition are |
    | `unique`, `duplicate_of` | unlike every earlier crystal; else that one's id |
    | `novel` | unlike every crystal of the reference set |
    | `nearest_id`, `nearest_kind` | nearest crystal there; whether it is the same |
    | `nearest_rmse` | its distance if it is the same, in units of (volume / atom)^(1/3) |
    | `nearest_composition_difference` | share of atoms to exchange, 0 to 1 |
    | `space_group@0.1` | number of the space group within 0.1 Å; so for each tolerance |
    | `covered` | a crystal of the reference set is near it by fingerprints |
    | `band_gap (cgcnn)` | PBE gap by that predictor, eV; 0: a metal |
    | `metal_probability (cgcnn)` | by that predictor, 0 to 1 |
    | `energy`, `e_above_hull` | after relaxation, eV/atom; above the convex hull, eV/atom |
    | `converged`, `rmsd` | whether relaxation came to its end; how far atoms moved, Å |
    | `decomposes_to` | phases that it competes with |
    | `error` | what failed |

    Attributes:
        table: a row for each crystal that was given, in order.
        summary: a row for each metric: value, count (of a rate), n (the denominator), ci_low and
            ci_high (95 %; Wilson for rates, bootstrap for means and distances), unit, thresholds.
        thresholds: all thresholds that were used.
        predictions: structure prediction by reference and by group, if targets were given.
        notes: what a reader of the numbers must know.
    """

    table: pd.DataFrame
    summary: pd.DataFrame
    thresholds: Thresholds
    predictions: object = None
    notes: list[str] = field(default_factory=list)

    def value(self, metric: str) -> float:
        """Return one number of the summary.

        Raises:
            EvaluationError: if there is no such metric.
        """
        if metric not in self.summary.index:
            raise EvaluationError(no_such("metric", metric, map(str, self.summary.index)))
        return float(self.summary.loc[metric, "value"])  # type: ignore[arg-type]

    def __str__(self) -> str:
        lines = [f"{len(self.table)} crystals"]
        for name, row in self.summary.iterrows():
            lines.append(f"{name!s:36} {_format(row)}")
        lines.append(
            "thresholds: " + ", ".join(f"{k} {v}" for k, v in self.thresholds.model_dump().items())
        )
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        settings = ", ".join(f"{k} {v}" for k, v in self.thresholds.model_dump().items())
        return f"{self.summary.to_html()}<p>Thresholds: {settings}</p><ul>{notes}</ul>"

    def save(self, folder: str | Path) -> None:
        """Write `evaluation.csv`, `summary.csv` and `thresholds.json` into a folder.

        Each file appears whole or not at all; results that were there stay until then.

        Raises:
            RunError: if the folder cannot be written.
        """
        folder = make_folder(folder)
        atomic_write(folder / "evaluation.csv", self.table.map(safe_cell).to_csv(index=False))
        atomic_write(folder / "summary.csv", self.summary.to_csv())
        content = {"thresholds": self.thresholds.model_dump(), "notes": self.notes}
        atomic_write(folder / "thresholds.json", json.dumps(content, indent=2) + "\n")


def _format(row: pd.Series) -> str:
    value, low, high = float(row["value"]), float(row["ci_low"]), float(row["ci_high"])
    interval = "" if math.isnan(low) else f" [{low:.4g}, {high:.4g}]"
    counts = f"n {row['n']}" if pd.isna(row["count"]) else f"{row['count']} of {row['n']}"
    limits = f"; {row['thresholds']}" if row["thresholds"] else ""
    return f"{value:.4g}{interval} {row['unit']} ({counts}{limits})"
