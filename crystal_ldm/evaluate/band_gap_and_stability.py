"""The stages of an evaluation that ask a model: predictors of band gaps, and potentials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crystal_ldm.evaluate.stages import Run

if TYPE_CHECKING:
    from crystal_ldm.evaluate.stability.relaxation import RelaxationSettings


def band_gap(run: Run, predictor: str) -> None:
    """Add the gap and the probability of a metal that a predictor gives each crystal."""
    from crystal_ldm.evaluate.band_gap import estimate_band_gaps, predictor_note

    limit = run.limits.metal_probability
    with run.reporter.stage(f"band gap by {predictor}", run.n) as advance:
        found = estimate_band_gaps(
            run.generated, predictor, metal_probability=limit, workers=run.executor,
            progress=advance,
        )  # fmt: skip
    run.notes.append(predictor_note(predictor))
    run.columns[f"band_gap ({predictor})"] = found.gap
    run.columns[f"metal_probability ({predictor})"] = found.metal_probability
    run.note_errors(f"band gap by {predictor}", found.errors)
    run.summary.rate(
        f"metal ({predictor})", int(found.metal.sum()), run.n, f"probability >= {limit:g}"
    )


def stability(run: Run, folder: str | Path, settings: RelaxationSettings | None) -> None:
    """Add relaxed energy, distance to the hull, and S.U.N. rates."""
    from crystal_ldm.evaluate.stability import compute_stability

    found = compute_stability(
        run.generated, folder, settings=settings, workers=run.executor,
        progress=run.reporter.show,
    )  # fmt: skip
    table = found.table
    for name in ("energy", "e_above_hull", "converged", "rmsd", "decomposes_to"):
        run.columns[name] = table[name].tolist()
    run.note_errors("stability", [e if e == e else None for e in table["error"]])
    run.notes += found.notes
    run.summary.rate("converged", int(table["converged"].sum()), run.n)
    run.summary.mean("e_above_hull", table["e_above_hull"], "eV/atom")
    run.summary.mean("relaxation rmsd", table["rmsd"], "Å")
    rates = found.rates(
        run.columns.get("unique"),
        run.columns.get("novel"),
        (run.limits.stable, run.limits.metastable),
    )
    for row in rates.to_dict("records"):
        limit = f"e_above_hull <= {row['e_above_hull <=']:g} eV/atom"
        name = f"{row['metric']}@{row['e_above_hull <=']:g}"
        run.summary.rate(name, int(row["count"]), run.n, limit)
