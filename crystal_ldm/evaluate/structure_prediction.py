"""Crystal structure prediction: match rate, RMSE, METRe and cRMSE.

METRe (match everyone to reference) and cRMSE (corrected RMSE) follow Martirossyan et al.,
"All that structure matches does not glitter", arXiv:2509.12178: a reference counts as found when
any generated crystal of the set matches it, whichever request it was made for; in cRMSE a reference
that is not found counts with the largest possible value, stol.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
import pandas as pd

from crystal_ldm.crystals.inputs import CrystalSet, read_with_warnings
from crystal_ldm.crystals.same_crystal import Tolerances
from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate.matching import PREDICTION, compare_pairs
from crystal_ldm.evaluate.statistics import mean, rate
from crystal_ldm.parallel.executor import AnyWorkers, open_executor

_ATOM_BINS = ((1, 5), (6, 10), (11, 15), (16, 20), (21, math.inf))


@dataclass(frozen=True)
class PredictionMetrics:
    """Crystal structure prediction on a list of references.

    Attributes:
        table: a row for each reference: id, formula, num_atoms, formula_seen, candidates, and for
            each k `rmse@k` (best of the first k candidates), `matched@k`, `metre_rmse@k`,
            `found@k`; `error` names comparisons that failed.
        summary: a row for each metric, group and k: value, n, ci_low, ci_high (95 %), thresholds.
    """

    table: pd.DataFrame
    summary: pd.DataFrame

    def value(self, metric: str, k: int, group: str = "all") -> float:
        """Return one number of the summary, e.g. `value("match_rate", 20)`.

        Raises:
            EvaluationError: if the summary has no such row.
        """
        rows = self.summary
        picked = rows[(rows["metric"] == metric) & (rows["k"] == k) & (rows["group"] == group)]
        if len(picked) != 1:
            raise EvaluationError(f"The summary has no row for {metric} at {k} in group '{group}'.")
        return float(picked["value"].iloc[0])


def csp_metrics(
    candidates: Sequence[Any],
    references: Any,
    ks: Sequence[int] = (1, 20),
    *,
    tolerances: Tolerances = PREDICTION,
    seen_formulas: Sequence[str] | None = None,
    workers: AnyWorkers = None,
) -> PredictionMetrics:
    """Return match rate, RMSE, METRe and cRMSE at each k.

    At k, a reference is matched if one of its first k candidates matches; its RMSE is the lowest
    of them. The rates are over all references; the mean RMSE is over those matched; cRMSE is over
    all. A reference with fewer than k candidates is scored on those it has. The group "polymorphs"
    has the references whose formula others have, too: METRe counts those that any candidate of
    the formula matches.

    Args:
        candidates: for each reference the crystals generated for it, in order.
        references: the crystals to be predicted.
        ks: numbers of candidates, e.g. (1, 20).
        tolerances: of StructureMatcher.
        seen_formulas: reduced formulas of the training set; adds the groups "formula seen" and
            "formula not seen".
        workers: see `open_executor`.

    Raises:
        EvaluationError: if lengths differ, a reference cannot be used, or a k is below 1.
    """
    (truth,) = read_with_warnings(references)
    if len(candidates) != len(truth) or len(truth) == 0:
        raise EvaluationError(
            f"There are {len(truth)} references and candidates for {len(candidates)}; "
            "give a list of candidates for each reference, at least one."
        )
    try:
        ks = sorted({index(k) for k in ks})
    except TypeError:  # a number alone, a fraction or a text
        ks = []
    if not ks or ks[0] < 1:
        raise EvaluationError("`ks` must be whole numbers of at least 1, such as (1, 20).")
    for entry_id, reason in zip(truth.ids, truth.errors, strict=True):
        if reason is not None:
            raise EvaluationError(f"The reference '{entry_id}' cannot be used: {reason}.")
    read = read_with_warnings(*candidates, allow_empty=True)
    groups = [group.select(range(len(group))[: ks[-1]]) for group in read]
    sizes = [len(group) for group in groups]
    every = CrystalSet.cat(groups)
    owner = np.repeat(np.arange(len(truth)), sizes)
    rank = np.concatenate([np.arange(size) for size in sizes])
    by_formula: dict[Any, list[int]] = defaultdict(list)
    for position, crystal in enumerate(every.crystals):
        if crystal is not None:
            by_formula[crystal.formula_key].append(position)
    pairs = [
        (position, reference)
        for reference, crystal in enumerate(truth.crystals)
        if crystal is not None
        for position in by_formula[crystal.formula_key]
    ]
    with open_executor(workers) as pool:
        distances = compare_pairs(every, truth, pairs, tolerances, pool)
    compared = pd.DataFrame(
        [(q, rank[p], owner[p] == q, *distances[p, q]) for p, q in pairs],
        columns=["reference", "rank", "own", "rmse", "error"],
    )
    table = _reference_table(truth, sizes, compared, ks, seen_formulas)
    return PredictionMetrics(table, _summary(table, ks, tolerances))


def candidates_by_row(crystals: CrystalSet, rows: int) -> list[CrystalSet]:
    """Group generated crystals by the row of the request that they belong to, in order.

    Raises:
        EvaluationError: if a crystal names a row that is not there.
    """
    for name, row in zip(crystals.ids, crystals.rows, strict=True):
        if not 0 <= row < rows:
            raise EvaluationError(
                f"The crystal '{name}' belongs to row {row} of the request, "
                f"but there are {rows} targets (rows 0 to {rows - 1})."
            )
    order = np.lexsort((crystals.numbers, crystals.rows))
    sizes = np.bincount(crystals.rows, minlength=rows)
    return [crystals.select(part.tolist()) for part in np.split(order, np.cumsum(sizes)[:-1])]


def _reference_table(
    truth: CrystalSet,
    sizes: Sequence[int],
    compared: pd.DataFrame,
    ks: Sequence[int],
    seen_formulas: Sequence[str] | None,
) -> pd.DataFrame:
    crystals = [crystal for crystal in truth.crystals if crystal is not None]
    formulas = [crystal.formula for crystal in crystals]
    seen = None if seen_formulas is None else set(seen_formulas)
    columns: dict[str, Any] = {
        "id": truth.ids,
        "formula": formulas,
        "num_atoms": [len(crystal) for crystal in crystals],
        "formula_seen": [None if seen is None else formula in seen for formula in formulas],
        "candidates": sizes,
    }
    for k in ks:
        able = compared[compared["rank"] < k]
        for part, rmse, match in (
            (able[able["own"]], f"rmse@{k}", f"matched@{k}"),
            (able, f"metre_rmse@{k}", f"found@{k}"),
        ):
            columns[rmse] = part.groupby("reference")["rmse"].min().reindex(range(len(truth)))
            columns[match] = columns[rmse].notna()
    reasons: dict[int, set[str]] = defaultdict(set)
    for reference, error in compared[["reference", "error"]].dropna().itertuples(index=False):
        reasons[reference].add(error)
    columns["error"] = ["; ".join(sorted(reasons[i])) or None for i in range(len(truth))]
    return pd.DataFrame(columns)


def _summary(table: pd.DataFrame, ks: Sequence[int], tolerances: Tolerances) -> pd.DataFrame:
    atoms, seen = table["num_atoms"], table["formula_seen"]
    groups: dict[str, pd.Series] = {"all": atoms > 0}
    groups["polymorphs"] = table["formula"].duplicated(keep=False)
    for low, high in _ATOM_BINS:
        name = f"{low} to {high:g} atoms" if math.isfinite(high) else f"over {low - 1} atoms"
        groups[name] = atoms.between(low, high)
    if seen.notna().any():
        groups |= {"formula seen": seen.eq(True), "formula not seen": seen.eq(False)}
    return pd.DataFrame(
        {"metric": metric, "group": group, "k": k, **numbers, "thresholds": str(tolerances)}
        for group, members in groups.items()
        if members.any()
        for k in ks
        for metric, numbers in _metrics_at(table[members], k, tolerances.stol).items()
    )


def _metrics_at(part: pd.DataFrame, k: int, stol: float) -> dict[str, dict[str, Any]]:
    """Return each metric of some references at k, as value, count, n, ci_low and ci_high."""
    n, metrics = len(part), {}
    for share, rmse, flag, column in (
        ("match_rate", "rmse", f"matched@{k}", f"rmse@{k}"),
        ("metre", "metre_rmse", f"found@{k}", f"metre_rmse@{k}"),
    ):
        metrics[share] = rate(int(part[flag].sum()), n)
        metrics[rmse] = mean(part.loc[part[flag], column])
    metrics["crmse"] = mean(part[f"metre_rmse@{k}"].fillna(stol))
    return metrics
