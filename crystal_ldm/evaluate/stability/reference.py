"""Energies of the reference structures, from the potential that relaxes the generated crystals.

CHGNet's table is made once, `python -m crystal_ldm.evaluate.stability.reference`, and shipped
(SevenNet's is made with `--potential sevennet` by whoever has installed that extra): for each
reduced formula among the crystals of `oqmd_icsd` within 0.1 eV/atom of OQMD's own hull, the lowest
single-point energy. Elements without such a crystal get a relaxed structure of ASE's reference
states (fcc, bcc, hcp, diamond), or one of those below.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crystal_ldm.crystals.cell import Cell, FormulaKey, formula_of
from crystal_ldm.crystals.inputs import read_crystals
from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate.stability.potential import POTENTIALS, potential, single_point
from crystal_ldm.evaluate.stability.relaxation import RelaxationSettings, relax_crystal
from crystal_ldm.parallel import Workers, open_executor

if TYPE_CHECKING:
    from pymatgen.core import Structure

NEAR_HULL_EV = 0.1
_SIMPLE = ("fcc", "bcc", "hcp", "diamond")


def table_path(name: str) -> Path:
    """Return the file of the shipped table of a potential."""
    return Path(__file__).parent / "data" / f"{potential(name).name}.csv.gz"


@dataclass(frozen=True)
class ReferenceEnergies:
    """Lowest reference energy of each composition.

    Attributes:
        by_formula: eV/atom.
        ids: the crystal that each energy belongs to.
        potential: name of the potential.
    """

    by_formula: dict[FormulaKey, float]
    ids: dict[FormulaKey, str]
    potential: str

    @cached_property
    def _by_elements(self) -> dict[frozenset[int], list[FormulaKey]]:
        groups: dict[frozenset[int], list[FormulaKey]] = {}
        for key in self.by_formula:
            groups.setdefault(frozenset(z for z, _ in key), []).append(key)
        return groups

    def within(self, elements: frozenset[int]) -> Iterator[tuple[FormulaKey, float]]:
        """Yield composition and energy of every reference made of some of the elements."""
        for size in range(1, len(elements) + 1):
            for subset in combinations(sorted(elements), size):
                for key in self._by_elements.get(frozenset(subset), []):
                    yield key, self.by_formula[key]

    @classmethod
    def shipped(cls, name: str = "chgnet") -> ReferenceEnergies:
        """Return the shipped table.

        Raises:
            EvaluationError: if it is missing or broken.
        """
        return cls.read(table_path(name), name)

    @classmethod
    def read(cls, path: str | Path, name: str = "chgnet") -> ReferenceEnergies:
        """Read a table.

        Raises:
            EvaluationError: if it is missing or broken.
        """
        try:
            table = pd.read_csv(path, dtype={"id": str}, keep_default_na=False)
            keys = [_read_key(text) for text in table["composition"]]
            energies = dict(zip(keys, map(float, table["energy_per_atom"]), strict=True))
            ids = dict(zip(keys, table["id"], strict=True))
        except (OSError, EOFError, KeyError, ValueError, TypeError) as error:
            raise EvaluationError(
                f"The table of reference energies '{path}' is missing or broken; make it with: "
                f"python -m crystal_ldm.evaluate.stability.reference --potential {name}"
            ) from error
        return cls(energies, ids, potential(name).name)

    def write(self, path: str | Path) -> None:
        """Write the table; the same energies give the same bytes."""
        keys = sorted(self.by_formula)
        table = {
            "composition": [" ".join(f"{z}:{count}" for z, count in key) for key in keys],
            "energy_per_atom": [f"{self.by_formula[key]:.6f}" for key in keys],
            "id": [self.ids[key] for key in keys],
            "formula": [formula_of(key) for key in keys],
        }
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        text = pd.DataFrame(table).to_csv(index=False, lineterminator="\n")
        Path(path).write_bytes(gzip.compress(text.encode(), mtime=0))


def _read_key(text: str) -> FormulaKey:
    pairs = (part.split(":") for part in text.split())
    return tuple((int(z), int(count)) for z, count in pairs)


def elemental_structure(z: int) -> Cell | None:
    """Return the ground state of an element from ASE's table or from literature; None: unknown."""
    from ase.build import bulk
    from ase.data import chemical_symbols, reference_states

    symbol = chemical_symbols[z]
    special = _special_structures().get(symbol)
    if special is not None:
        return Cell.from_structure(special)
    state = reference_states[z]
    # ASE builds one atom in the cell of other symmetries, which is not the element's structure.
    if state is None or state["symmetry"] not in _SIMPLE or state.get("basis", ()) is None:
        return None
    atoms = bulk(symbol)
    scaled = atoms.get_scaled_positions(wrap=False)
    return Cell.from_arrays(atoms.numbers, scaled, atoms.cell.array)


def _special_structures() -> dict[str, Structure]:
    """Return three elements that ASE's table has no positions for (Donohue 1974)."""
    from pymatgen.core import Lattice, Structure

    manganese: Any = [[0, 0, 0], [0.317] * 3, [0.356, 0.356, 0.034], [0.089, 0.089, 0.282]]
    double_hexagonal: Any = [[0, 0, 0], [0, 0, 0.5], [1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]
    uranium = Lattice.orthorhombic(2.854, 5.869, 4.955)
    return {
        "Mn": Structure.from_spacegroup("I-43m", Lattice.cubic(8.914), ["Mn"] * 4, manganese)
        .get_primitive_structure(),
        "Pm": Structure(Lattice.hexagonal(3.65, 11.65), ["Pm"] * 4, double_hexagonal),
        "U": Structure.from_spacegroup("Cmcm", uranium, ["U"], [[0, 0.1025, 0.25]])
        .get_primitive_structure(),
    }  # fmt: skip


def build(dataset: Any, name: str = "chgnet", workers: int | None = None) -> ReferenceEnergies:
    """Compute the table from a data set with the label `e_above_hull` (about 20 minutes).

    Args:
        dataset: for example `load_dataset("oqmd_icsd")`.

    Raises:
        EvaluationError: if the data set has no hull distances.
    """
    source = read_crystals(dataset)
    if "e_above_hull" not in source.labels:
        raise EvaluationError("The reference set has no label 'e_above_hull' to choose by.")
    near = np.flatnonzero(source.labels["e_above_hull"] <= NEAR_HULL_EV)
    energies: dict[FormulaKey, float] = {}
    ids: dict[FormulaKey, str] = {}

    def keep(crystal: Cell, energy: float, identifier: str) -> None:
        key = crystal.formula_key
        if energy < energies.get(key, np.inf):
            energies[key], ids[key] = energy, identifier

    chosen = [(int(i), c) for i in near if (c := source.crystals[int(i)]) is not None]
    with open_executor(workers, Workers(timeout=120), bars=True) as pool:
        function = partial(single_point, name=name)
        items = [crystal for _, crystal in chosen]
        for outcome in pool.imap(function, items, label="references"):
            position, crystal = chosen[outcome.index]
            if outcome.error is None:
                keep(crystal, outcome.value, source.ids[position])
            else:
                print(f"{source.ids[position]}: {outcome.error}")
        numbers = [z for z in sorted(potential(name).elements) if ((z, 1),) not in energies]
        elements = [c for z in numbers if (c := elemental_structure(z)) is not None]
        settings = RelaxationSettings(name, fmax=0.02, max_steps=500)
        relax = partial(relax_crystal, settings=settings)
        for outcome in pool.imap(relax, elements, timeout=3600, chunk=1, label="elements"):
            if outcome.error is None:
                keep(elements[outcome.index], outcome.value.energy, "elemental structure")
            else:
                print(f"{elements[outcome.index].formula}: {outcome.error}")
    return ReferenceEnergies(energies, ids, potential(name).name)


def main() -> None:
    """Make the table of `oqmd_icsd` and write it where the package looks for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--potential", default="chgnet", choices=list(POTENTIALS))
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    from crystal_ldm.data import load_dataset

    energies = build(load_dataset("oqmd_icsd"), options.potential, options.workers)
    path = options.output or table_path(options.potential)
    energies.write(path)
    print(f"{len(energies.by_formula)} reference energies in {path}")


if __name__ == "__main__":
    main()
