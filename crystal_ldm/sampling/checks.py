"""What a model was not trained for is refused, in one sentence that says what it can do."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from crystal_ldm.crystals import CrystalBatch, ElementRules
from crystal_ldm.crystals.elements import symbols
from crystal_ldm.crystals.request import largest_cells
from crystal_ldm.crystals.symmetry.space_groups import SPACE_GROUP
from crystal_ldm.crystals.symmetry.wyckoff import can_fill, unfilled
from crystal_ldm.errors import RequestError, suggest
from crystal_ldm.ldm_module.ldm_module import LDMModule
from crystal_ldm.sampling.space_groups import groups_asked


def check_request(ldm: LDMModule, request: CrystalBatch | None) -> None:
    """Check a request against a model.

    Raises:
        RequestError: for a condition, an element, a value or a number of atoms that the model was
            not trained for.
    """
    if request is None:
        if not sum(ldm.num_atoms_histogram):
            raise RequestError(
                "This model does not know how many atoms its training crystals had; ask for "
                "formulas or numbers of atoms."
            )
        return
    if len(request) == 0:
        raise RequestError("The request has no rows; ask for at least one formula.")
    network = ldm.sampler_network
    known = list(network.conditions)
    for name, values in request.conditions.items():
        if name not in network.properties:
            raise RequestError(
                f"This model has no condition '{name}'.{suggest(name, known)} "
                f"Its conditions are: {', '.join(known) or 'none'}."
            )
        if name == SPACE_GROUP:
            values = [next(iter(groups), None) for groups in groups_asked(values)]
        for column in values.T if isinstance(values, Tensor) and values.ndim == 2 else [values]:
            network.properties[name].encode(column)
    ldm.check_atoms(largest_cells(request))
    if network.composition is None and bool((request.atomic_numbers > 0).any()):
        raise RequestError(
            "This model was not trained on compositions; ask for numbers of atoms "
            "(CrystalBatch.from_num_atoms) instead of formulas."
        )
    for row, rules in enumerate(request.rules()):
        _check_rules(ldm, request, row, rules)


def smaller_than_known(ldm: LDMModule, request: CrystalBatch | None) -> str:
    """Return in a sentence which formulas the training set has in larger cells alone; else ''.

    A crystal with fewer atoms in its cell than all that are known of its formula is hardly a real
    one: LiFePO4 has 14 atoms or more in a primitive cell, never 7.
    """
    if request is None or ldm.training_crystals.empty:
        return ""
    crystals, sentences = ldm.training_crystals.crystals, []
    sizes = request.num_atoms.tolist()
    is_open = ((request.atomic_numbers == 0) & request.mask).any(dim=1).tolist()
    known = ldm.training_crystals.rows_of(request.atomic_numbers)
    one_size = [units is None for units in request.units()]
    for i, (formula, size, rows) in enumerate(zip(request.formulas, sizes, known, strict=True)):
        compared = rows and one_size[i] and not is_open[i]
        least = int(crystals.num_atoms[rows].min()) if compared else 0
        if least > size:
            sentences.append(f"{formula} has {least} atoms or more, not {size}")
    distinct = list(dict.fromkeys(sentences))
    if not distinct:
        return ""
    more = f"; so have {len(distinct) - 3} others" if len(distinct) > 3 else ""
    return (
        f"In the training set's cells {'; '.join(distinct[:3])}{more}: ask for more formula units "
        "to find such crystals."
    )


def groups_out_of_reach(request: CrystalBatch | None) -> str:
    """Return in a sentence the first row whose atoms can fill no space group asked for; else ''."""
    if request is None or SPACE_GROUP not in request.conditions:
        return ""
    for row, groups in enumerate(groups_asked(request.conditions[SPACE_GROUP])):
        numbers = request.atomic_numbers[row, : int(request.num_atoms[row])]
        counts = numbers.unique(return_counts=True)[1]
        if not groups or bool((numbers == 0).any()):
            continue
        units = request.units()[row]
        cells = [(counts * m).tolist() for m in (units if isinstance(units, Mapping) else [1])]
        if not any(can_fill(group, cell) for group in groups for cell in cells):
            why = unfilled(groups, cells[0])
            return f"The space group of {request.formulas[row]} is out of reach: {why}."
    return ""


def _check_rules(ldm: LDMModule, request: CrystalBatch, row: int, rules: ElementRules) -> None:
    size = int(request.num_atoms[row])
    numbers = request.atomic_numbers[row, :size]
    open_atoms = int((numbers == 0).sum())
    unknown = sorted({*rules.required, *rules.allowed} - set(ldm.elements))
    if unknown:
        raise RequestError(
            f"This model was not trained on {', '.join(unknown)}; take it out of the required and "
            f"allowed elements. It knows {' '.join(ldm.elements)}."
        )
    present = {symbols()[z] for z in numbers.tolist()}
    missing = [symbol for symbol in rules.required if symbol not in present]
    if len(missing) > open_atoms:
        raise RequestError(
            f"{', '.join(missing)} is required, but {request.formulas[row]} leaves {open_atoms} "
            "atoms open; write `?` for atoms that may become another element."
        )
    choices = set(rules.allowed or ldm.elements) - set(rules.forbidden)
    if open_atoms and not choices:
        raise RequestError("Every element that this model knows is forbidden; allow at least one.")
