"""How steady the canonical form is: the share of real crystals that get another form.

    python -m benchmarks.canonical --num 1000
    python -m benchmarks.canonical --num 1000 --dataset mp_20 --data-dir DIR

Each crystal is written in slightly other numbers: its cell strained by a random strain of a given
size, or cell and coordinates rounded to the decimals of a CIF. A form is another one if the atoms
come in another order, or cell or coordinates differ by ten times what was done to the crystal.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice

from crystal_ldm.crystals.canonical import canonical_arrays
from crystal_ldm.crystals.readers import open_source
from crystal_ldm.crystals.readers.entries import Cell, Source, read_payload
from crystal_ldm.data.oqmd import oqmd_database, read_oqmd
from crystal_ldm.errors import DataError
from crystal_ldm.random import crystal_generator

STRAINS = (1e-7, 1e-5, 1e-3)
DECIMALS = (4, 3)
Rewrite = Callable[[Cell, np.random.Generator], Cell]


def strained(cell: Cell, strain: float, rng: np.random.Generator) -> Cell:
    """Return the crystal after a random symmetric strain whose largest entry is `strain`."""
    change = rng.normal(size=(3, 3))
    change += change.T
    change *= strain / np.abs(change).max()
    return Cell(cell.lattice @ (np.eye(3) + change), cell.frac_coords, cell.numbers)


def written(cell: Cell, decimals: int) -> Cell:
    """Return the crystal as a CIF of so many decimals states it (Å, degrees, fractions)."""
    parameters = np.round(Lattice(cell.lattice).parameters, decimals)
    coords = np.round(cell.frac_coords % 1.0, decimals)
    return Cell(Lattice.from_parameters(*parameters).matrix, coords, cell.numbers)


def rewritings() -> dict[str, tuple[Rewrite, float]]:
    """Return ways to write a crystal in slightly other numbers, and by how much they differ."""
    ways: dict[str, tuple[Rewrite, float]] = {}
    for strain in STRAINS:
        ways[f"strain {strain:g}"] = (lambda c, rng, s=strain: strained(c, s, rng), strain)
    for decimals in DECIMALS:
        ways[f"CIF, {decimals} decimals"] = (
            lambda c, rng, d=decimals: written(c, d),
            0.5 * 10.0**-decimals,
        )
    return ways


def same_form(one: Cell, other: Cell, size: float) -> bool:
    """Return whether two canonical cells are one, for crystals that differ by `size`."""
    tolerance = 10 * size + 1e-5
    if not np.array_equal(one.numbers, other.numbers):
        return False
    moved = one.frac_coords - other.frac_coords
    longest = np.linalg.norm(one.lattice, axis=1).max()
    return bool(
        np.abs(moved - np.round(moved)).max() < tolerance
        and np.abs(one.lattice - other.lattice).max() < tolerance * longest
    )


def real_crystals(source: Source, num: int, max_atoms: int, seed: int) -> list[Cell]:
    """Return `num` crystals drawn from `source`, cells as they were published."""
    cells: list[Cell] = []
    for i in crystal_generator(seed, 0).permutation(len(source.entries)):
        try:
            cell = read_payload(source.entries[i].payload)[0].checked()
        except DataError:
            continue
        if len(cell.numbers) <= max_atoms:
            cells.append(cell)
        if len(cells) == num:
            break
    return cells


def steadiness(cells: list[Cell], seed: int) -> dict[str, float]:
    """Return shares of other forms by rewriting, and crystals made canonical per CPU second."""
    started = time.process_time()
    forms = [Cell(*canonical_arrays(*cell)) for cell in cells]
    row = {"crystals": float(len(cells)), "per s": len(cells) / (time.process_time() - started)}
    twice = [Cell(*canonical_arrays(*form)) for form in forms]
    row["done twice"] = float(
        np.mean([not same_form(*p, 0.0) for p in zip(forms, twice, strict=True)])
    )
    for name, (rewrite, size) in rewritings().items():
        rng = crystal_generator(seed, 1)
        others = [Cell(*canonical_arrays(*rewrite(cell, rng))) for cell in cells]
        row[name] = float(
            np.mean([not same_form(*p, size) for p in zip(forms, others, strict=True)])
        )
    return row


def main() -> None:
    """Measure once and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="oqmd_icsd", help="oqmd_icsd, or a folder's name")
    parser.add_argument("--data-dir", default=".", help="where the folder lies")
    parser.add_argument("--num", type=int, default=1000)
    parser.add_argument("--max-atoms", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    if options.dataset == "oqmd_icsd":
        source = read_oqmd(oqmd_database())
    else:
        source = open_source(Path(options.data_dir) / options.dataset, None).read()
    cells = real_crystals(source, options.num, options.max_atoms, options.seed)
    row = steadiness(cells, options.seed)
    for name, value in row.items():
        print(f"{name:18s} {value:.0f}" if value > 1 else f"{name:18s} {value:.2%}")
    if options.json:
        Path(options.json).write_text(json.dumps({"options": vars(options), "figures": row}))


if __name__ == "__main__":
    main()
