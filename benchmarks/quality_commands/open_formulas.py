"""Formulas with open atoms: are the charges of what they become in balance."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

import numpy as np
from pymatgen.core import Composition

from benchmarks.quality_commands.shared import Row, sampling
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.cell import FormulaKey
from crystal_ldm.evaluate.thresholds import Thresholds
from crystal_ldm.evaluate.validity import composition_validity
from crystal_ldm.ldm_module import LDMModule

FORMULAS = ("Sr?O3", "K?F3", "Cs?Cl3", "Na?S2", "Li?O2", "Ca?2O4")
BAND_GAP_EV = 2.6


def charge_balance(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Share of balanced charges by pymatgen's `oxi_state_guesses` and of valid compositions by
    SMACT, with and without `elements.charge_balanced`, at a band gap of 2.6 eV."""
    table = []
    for balanced in (False, True):
        batch = CrystalBatch.from_formulas(list(FORMULAS), band_gap=[BAND_GAP_EV] * len(FORMULAS))
        how = sampling(options)
        how["elements"] = {**how.get("elements", {}), "charge_balanced": balanced}
        made = model.sample(batch, options.num, **how)
        drawn = [Composition(formula) for formula in made.crystals.formulas]
        for row, formula in enumerate(FORMULAS):
            own = drawn[row * options.num : (row + 1) * options.num]
            table.append({"charge_balanced": balanced, "formula": formula} | _judged(own))
        table.append({"charge_balanced": balanced, "formula": "all"} | _judged(drawn))
    return table


def _judged(compositions: list[Composition]) -> dict[str, Any]:
    neutral = [bool(one.oxi_state_guesses()) for one in compositions]
    valid = [composition_validity(_key(one), Thresholds())[0] for one in compositions]
    most = Counter(one.reduced_formula for one in compositions).most_common(4)
    return {
        "n": len(compositions),
        "balanced": float(np.mean(neutral)),
        "valid by SMACT": float(np.mean(valid)),
        "most": ", ".join(f"{formula} {count}" for formula, count in most),
    }


def _key(composition: Composition) -> FormulaKey:
    return tuple(sorted((element.Z, int(n)) for element, n in composition.items()))
