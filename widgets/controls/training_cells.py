"""What a model's training set has of a formula."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.symmetry.space_groups import group_symbol
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.sampling.cell_sizes import likely_units_in_words

MOST = 24
"""Crystals of a formula that are looked at; few formulas have more."""


@dataclass(frozen=True)
class TrainingCells:
    """The training crystals of one formula.

    Attributes:
        groups: their space groups, the most frequent first.
        sizes: atoms in their cells, ascending.
        kinds: space group, atoms and formula units in the cell of each kind of crystal, the most
            frequent first.
        likely: which formula units the crystals take where none are given, a sentence.
    """

    groups: tuple[str, ...]
    sizes: tuple[int, ...]
    kinds: tuple[tuple[str, int, int], ...]
    likely: str = ""

    @property
    def sentence(self) -> str:
        """What there is, in words."""
        if not self.sizes:
            return "The training set has no crystal of this formula."
        sizes = " and ".join(", ".join(map(str, self.sizes)).rsplit(", ", 1))
        many = "s" if len(self.sizes) > 1 or self.sizes[0] > 1 else ""
        return f"In the training set: {', '.join(self.groups)}; cells of {sizes} atom{many}."


def most_atoms(ldm: LDMModule) -> int:
    """Return how many atoms the largest cell of the training set has; the most that the model can
    make where it does not say."""
    counts = ldm.data_info.get("num_atoms_histogram") or []
    sizes = [size for size, count in enumerate(counts) if count]
    return min([ldm.max_atoms, *sizes[-1:]])


def training_cells(ldm: LDMModule, formula: str) -> TrainingCells | None:
    """Return what the training set has of a formula without open atoms.

    None where the model does not say what it was trained on. The first call takes a second.
    """
    known = ldm.training_crystals
    if known.empty:
        return None
    request = CrystalBatch.from_formulas([formula])
    likely = likely_units_in_words(ldm, request.atomic_numbers[0].numpy())
    rows = known.rows_of(request.atomic_numbers)[0][:MOST]
    if not rows:
        return TrainingCells((), (), (), likely)
    atoms = int(request.num_atoms)
    sizes_of = known.crystals.num_atoms.tolist()
    found = Counter(
        (group_symbol(known.space_group(row) or 1), sizes_of[row], sizes_of[row] // atoms)
        for row in rows
    )
    ordered = sorted(found, key=lambda kind: (-found[kind], kind))
    kinds = tuple(kind for kind in ordered if kind[1] % atoms == 0)
    often = Counter(symbol for symbol, *_ in found.elements())
    groups = tuple(sorted(often, key=lambda symbol: (-often[symbol], symbol)))
    sizes = tuple(sorted({size for _, size, _ in kinds or ordered}))
    return TrainingCells(groups, sizes, kinds, likely)
