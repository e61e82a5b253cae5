"""The stages of an evaluation: each adds columns to the table and rows to the summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from crystal_ldm.crystals.inputs import CrystalSet, read_crystals
from crystal_ldm.crystals.symmetry.space_groups import space_group_column
from crystal_ldm.evaluate.coverage import coverage
from crystal_ldm.evaluate.description import Description, describe_all
from crystal_ldm.evaluate.reference_set import Reference
from crystal_ldm.evaluate.results import Evaluation
from crystal_ldm.evaluate.statistics import (
    frechet_distance,
    mean,
    number,
    rate,
    wasserstein_interval,
)
from crystal_ldm.evaluate.structure_prediction import (
    PredictionMetrics,
    candidates_by_row,
    csp_metrics,
)
from crystal_ldm.evaluate.thresholds import Thresholds
from crystal_ldm.evaluate.uniqueness_and_novelty import find_duplicates, find_in_reference
from crystal_ldm.evaluate.validity import compositions_validity
from crystal_ldm.parallel import Executor

if TYPE_CHECKING:
    from crystal_ldm.evaluate.stability.relaxation import RelaxationSettings


@dataclass
class EvaluationRun:
    """One evaluation under way: each method is a stage that adds columns and summary rows."""

    generated: CrystalSet
    reference: Reference | None
    limits: Thresholds
    executor: Executor
    properties: Mapping[str, NDArray[np.float64]]

    def __post_init__(self) -> None:
        generated = self.generated
        self.summary: dict[str, dict[Any, object]] = {}
        self.notes = list(generated.notes)
        if self.reference is not None:
            self.notes += _of("reference set", self.reference.crystals)
        self.errors: list[list[str]] = [[e] if e else [] for e in generated.errors]
        columns = {
            "id": generated.ids,
            "row": generated.rows,
            "number": generated.numbers,
            "formula": [c.formula if c else None for c in generated.crystals],
            "num_atoms": [len(c.numbers) if c else None for c in generated.crystals],
            "num_elements": [len(c.formula_key) if c else None for c in generated.crystals],
        }
        self.table = pd.DataFrame(columns)
        self.descriptions: list[Description | None] = []

    def describe(self, *, symmetry: bool, comparison: bool) -> None:
        self.descriptions = describe_all(
            self.generated.crystals,
            self.limits,
            self.executor,
            symmetry=symmetry,
            comparison=comparison,
        )
        self.note_errors("description", [d.error if d else None for d in self.descriptions])
        for name in ("density", "volume_per_atom", "min_distance", "contact", "coordination"):
            self.table[name] = [getattr(d, name) if d else np.nan for d in self.descriptions]
        self.share("readable", self.table["formula"].notna())

    def add(
        self, name: str, numbers: Mapping[Any, object], unit: str, thresholds: str = ""
    ) -> None:
        """Add a row of `statistics.rate`, `mean` or `number` to the summary."""
        self.summary[name] = {**numbers, "unit": unit, "thresholds": thresholds}

    def share(self, name: str, flags: Any, thresholds: str = "") -> None:
        """Add the share of crystals with a flag to the summary."""
        self.add(name, rate(int(np.sum(flags)), len(flags)), "share", thresholds)

    def validity(self) -> None:
        limits, table = self.limits, self.table
        keys = [c.formula_key for c in self.generated.crystals if c is not None]
        validity = compositions_validity(keys, limits, self.executor)
        unreadable = (False, None)
        verdicts = [validity[c.formula_key] if c else unreadable for c in self.generated.crystals]
        roomy = table["volume_per_atom"] > limits.min_volume_per_atom
        table["structure_valid"] = (table["min_distance"] > limits.min_distance) & roomy
        table["composition_valid"] = [verdict[0] for verdict in verdicts]
        table["composition_rule"] = [verdict[1] for verdict in verdicts]
        table["contacts_valid"] = table["structure_valid"] & (table["contact"] >= limits.contact)
        table["valid"] = table["contacts_valid"] & table["composition_valid"]
        geometry = (
            f"distance > {limits.min_distance:g} Å, volume > {limits.min_volume_per_atom:g} Å³/atom"
        )
        pauling, alloys = ("on" if x else "off" for x in (limits.use_pauling, limits.alloys_valid))
        rules = (
            f"SMACT {limits.oxidation_states}, electronegativity {pauling}, alloys valid {alloys}"
        )
        contacts = f"distances > {limits.contact:g} of the elements' usual ones"
        self.share("structure_valid", table["structure_valid"], geometry)
        self.share("composition_valid", table["composition_valid"], rules)
        self.share("contacts_valid", table["contacts_valid"], contacts)
        self.share("valid", table["valid"])
        self.share("valid (CDVAE)", table["structure_valid"] & table["composition_valid"])
        if self.reference is not None:
            real = self.reference.composition_validity(limits, self.executor)
            self.add("composition_valid (reference)", rate(*real), "share", rules)

    def uniqueness(self) -> None:
        reduced = [d.reduced if d else None for d in self.descriptions]
        duplicates = find_duplicates(reduced, self.limits.same_crystal, self.executor)
        ids = self.generated.ids
        self.table["unique"] = [entry.unique for entry in duplicates]
        self.table["duplicate_of"] = [None if e.of is None else ids[e.of] for e in duplicates]
        self.note_errors("uniqueness", [entry.error for entry in duplicates])
        self.share("unique", self.table["unique"], str(self.limits.same_crystal))

    def novelty(self) -> None:
        assert self.reference is not None
        forms = [(d.reduced, d.packing) if d and d.reduced else None for d in self.descriptions]
        same = self.limits.same_crystal
        nearest = find_in_reference(forms, self.reference, same, self.executor)
        ids = self.reference.crystals.ids
        self.table["novel"] = [entry.novel for entry in nearest]
        self.table["nearest_id"] = [None if e.nearest is None else ids[e.nearest] for e in nearest]
        self.table["nearest_kind"] = [entry.kind or None for entry in nearest]
        self.table["nearest_rmse"] = [entry.rmse for entry in nearest]
        self.table["nearest_composition_difference"] = [e.composition_difference for e in nearest]
        self.note_errors("novelty", [entry.error for entry in nearest])
        self.share("novel", self.table["novel"], str(self.limits.same_crystal))
        unusable = len(self.reference) - self.reference.usable + len(self.reference.errors)
        if unusable:
            self.notes.append(f"{unusable} crystals of the reference set could not be compared.")
        if "unique" not in self.table:
            return
        both = self.table["unique"] & self.table["novel"]
        self.share("unique and novel", both)
        if "valid" in self.table:
            self.share("valid, unique and novel", both & self.table["valid"])
            both &= self.table["structure_valid"] & self.table["composition_valid"]
            self.share("valid (CDVAE), unique and novel", both)

    def symmetry(self) -> None:
        for position, symprec in enumerate(self.limits.symprec):
            groups = [d.space_groups[position] if d else None for d in self.descriptions]
            self.table[space_group_column(symprec)] = groups
            limit = f"symprec {symprec:g} Å, angle {self.limits.angle_tolerance:g}°"
            self.share(f"P1@{symprec:g}", [group == 1 for group in groups], limit)
            self.share(f"no space group@{symprec:g}", [group is None for group in groups], limit)

    def distribution(self) -> None:
        assert self.reference is not None
        factor = self.limits.bond_factor
        reference = self.reference.descriptions(self.limits, self.executor)
        columns = self.table
        bonds = f"neighbours within {factor:g} times the covalent radii"
        elements = self.reference.num_elements
        densities = [d.density for d in reference]
        neighbours = [d.coordination for d in reference]
        pairs: list[tuple[str, ArrayLike, ArrayLike, str, str]] = [
            ("density", columns["density"], densities, "g/cm³", ""),
            ("num_elements", columns["num_elements"], elements, "elements", ""),
            ("coordination", columns["coordination"], neighbours, "neighbours", bonds),
        ]
        labels = self.reference.crystals.labels
        for name, property_values in self.properties.items():
            columns[name] = property_values
            if name in labels:
                pairs.append((name, columns[name], labels[name], "unit of the property", ""))
            else:
                self.notes.append(
                    f"The reference set has no '{name}': its Wasserstein distance is not defined."
                )
        for name, values, others, unit, limit in pairs:
            numbers = np.array(values, dtype=np.float64)
            value, low, high = wasserstein_interval(numbers, others)
            distance = number(value, int(np.isfinite(numbers).sum()), low, high)
            self.add(f"wasserstein {name}", distance, unit, limit)

    def coverage(self) -> None:
        assert self.reference is not None
        limits = self.limits
        covered, found, errors = coverage(
            self.generated.crystals,
            self.reference.crystals.crystals,
            limits.structure_cutoff,
            limits.composition_cutoff,
            self.executor,
        )
        self.table["covered"] = covered
        self.note_errors("coverage", errors)
        text = f"structure {limits.structure_cutoff:g}, composition {limits.composition_cutoff:g}"
        self.share("coverage precision", covered, text)
        self.share("coverage recall", found, text)

    def latents(self, generated: ArrayLike, reference: ArrayLike) -> None:
        distance = number(frechet_distance(generated, reference), len(np.asarray(generated)))
        self.add("frechet latent", distance, "latent²")

    def prediction(self, targets: Any, ks: Sequence[int]) -> PredictionMetrics:
        truth = read_crystals(targets)
        self.notes += _of("targets", truth)
        seen = None
        if self.reference is not None:
            seen = [c.formula for c in self.reference.crystals.crystals if c is not None]
        metrics = csp_metrics(
            candidates_by_row(self.generated, len(truth)), truth, ks,
            tolerances=self.limits.prediction, seen_formulas=seen, workers=self.executor,
        )  # fmt: skip
        everything = metrics.summary[metrics.summary["group"] == "all"]
        for row in everything.to_dict("records"):
            unit = "share" if row["metric"] in ("match_rate", "metre") else "(V/N)^(1/3)"
            self.add(f"{row['metric']}@{row['k']}", row, unit, row["thresholds"])
        return metrics

    def band_gap(self, predictor: str) -> None:
        """Add the gap and the probability of a metal that a predictor gives each crystal."""
        from crystal_ldm.evaluate.band_gap import estimate_band_gaps, predictor_note

        limit = self.limits.metal_probability
        gaps = estimate_band_gaps(
            self.generated, predictor, metal_probability=limit, workers=self.executor
        )
        self.notes.append(predictor_note(predictor))
        self.table[f"band_gap ({predictor})"] = gaps.gap
        self.table[f"metal_probability ({predictor})"] = gaps.metal_probability
        self.note_errors(f"band gap by {predictor}", gaps.errors)
        self.share(f"metal ({predictor})", gaps.metal, f"probability >= {limit:g}")

    def stability(self, folder: str | Path, settings: RelaxationSettings | None) -> None:
        """Add relaxed energy, distance to the hull, and S.U.N. rates."""
        from crystal_ldm.evaluate.stability import compute_stability

        result = compute_stability(self.generated, folder, settings=settings, workers=self.executor)
        table = result.table
        for name in ("energy", "e_above_hull", "converged", "rmsd", "decomposes_to"):
            self.table[name] = table[name].tolist()
        self.note_errors("stability", [e if e == e else None for e in table["error"]])
        self.notes += result.notes
        self.share("converged", table["converged"])
        self.add("e_above_hull", mean(table["e_above_hull"]), "eV/atom")
        self.add("relaxation rmsd", mean(table["rmsd"]), "Å")
        rates = result.rates(
            self.table.get("unique"),
            self.table.get("novel"),
            (self.limits.stable, self.limits.metastable),
        )
        for row in rates.to_dict("records"):
            limit = f"e_above_hull <= {row['e_above_hull <=']:g} eV/atom"
            self.add(f"{row['metric']}@{row['e_above_hull <=']:g}", row, "share", limit)

    def note_errors(self, stage: str, errors: Sequence[str | None]) -> None:
        """Put reasons into the rows; what cannot be read at all has one already."""
        for position, reason in enumerate(errors):
            if reason is not None and self.generated.crystals[position] is not None:
                self.errors[position].append(f"{stage}: {reason}")

    def result(self, predictions: PredictionMetrics | None) -> Evaluation:
        table = self.table
        table["error"] = ["; ".join(reasons) or None for reasons in self.errors]
        failed = int(table["error"].notna().sum())
        if failed:
            self.notes.append(f"{failed} crystals have a reason in the column 'error'.")
        groups = [name for name in table.columns if name.startswith("space_group")]
        for name in ("num_atoms", "num_elements", *groups):
            table[name] = table[name].astype("Int64")
        columns = ["value", "count", "n", "ci_low", "ci_high", "unit", "thresholds"]
        summary = pd.DataFrame.from_dict(self.summary, orient="index", columns=columns)
        summary = summary.rename_axis("metric").astype({"count": "Int64"})
        return Evaluation(table, summary, self.limits, predictions, self.notes)


def _of(what: str, crystals: CrystalSet) -> list[str]:
    return [f"Of the {what}: {note}" for note in crystals.notes]
