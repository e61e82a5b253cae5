"""One zip of crystals: CIFs with their recipes, POSCARs, extxyz, a table, the recipes."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from typing import Any

from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.viewers.plotly_crystal import crystal_figure

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.geometry.distances import shortest_distance
from crystal_ldm.crystals.symmetry.projection import STRICT
from crystal_ldm.crystals.writers import extxyz_frame, symmetrised_cif
from crystal_ldm.errors import RequestError
from crystal_ldm.evaluate.description import density
from crystal_ldm.files.run_directory import CIFS, RAW_CELLS, RECIPE, TABLE
from crystal_ldm.files.writing import csv_text
from crystal_ldm.recipe import embed_recipe
from crystal_ldm.runs.table import COLUMNS

SYMPREC = 0.1
"""Å, tolerance of the symmetry search for the CIFs."""


def zip_crystals(
    crystals: Sequence[CrystalEntry], rows: Sequence[dict[str, Any]] | None = None
) -> bytes:
    """Return the archive, made in memory.

    Args:
        crystals: what goes in.
        rows: further columns of the table for each of them, such as what an evaluation found.

    Raises:
        RequestError: there is no crystal.
    """
    if not crystals:
        raise RequestError("There is no crystal to download yet.")
    recipes = _recipes(crystals)
    lines, frames = [], []
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for i, made in enumerate(crystals):
            name = _name(made, i, recipes)
            cif, line = _describe(made, name, recipes)
            archive.writestr(f"{CIFS}/{name}.cif", cif)
            archive.writestr(f"poscar/{name}.vasp", made.structure.to(fmt="poscar"))
            frames.append(extxyz_frame(Cell.from_structure(made.structure), name))
            lines.append({**line, **(rows[i] if rows is not None else {}), **line})
        archive.writestr(RAW_CELLS, "".join(frames))
        archive.writestr(TABLE, _table(lines))
        for file, recipe in recipes.items():
            archive.writestr(file, json.dumps(recipe, indent=1))
    return buffer.getvalue()


FORMATS = ("CIF", "POSCAR", "extxyz", "HTML (3D, offline)")


def one_crystal(made: CrystalEntry, kind: str) -> tuple[str, bytes]:
    """Return name and content of a file with one crystal.

    Args:
        made: the crystal.
        kind: one of `FORMATS`: a symmetrised CIF with its recipe, the cell as it is, or a page that
            shows it and can be turned, with all that it needs.
    """
    name = _name(made, 0, _recipes([made]))
    if kind == "POSCAR":
        return f"{name}.vasp", str(made.structure.to(fmt="poscar")).encode()
    if kind == "extxyz":
        return f"{name}.extxyz", extxyz_frame(Cell.from_structure(made.structure), name).encode()
    if kind == "CIF":
        return f"{name}.cif", _describe(made, name, _recipes([made]))[0].encode()
    page = crystal_figure(made.structure, title=name).to_html({"showSendToCloud": False})
    return f"{name}.html", page.encode()


def _recipes(crystals: Sequence[CrystalEntry]) -> dict[str, dict[str, Any]]:
    """Return the distinct recipes by file name."""
    found: list[dict[str, Any]] = []
    for made in crystals:
        if made.recipe is not None and made.recipe not in found:
            found.append(made.recipe)
    names = [RECIPE, *(f"recipe-{k}.json" for k in range(2, len(found) + 1))]
    return dict(zip(names, found, strict=False))


def _file_of(made: CrystalEntry, recipes: dict[str, dict[str, Any]]) -> str:
    return next((file for file, recipe in recipes.items() if recipe == made.recipe), "")


def _name(made: CrystalEntry, index: int, recipes: dict[str, dict[str, Any]]) -> str:
    formula = made.structure.composition.reduced_formula
    file = _file_of(made, recipes)
    if not file:
        return f"{made.origin}-{index:05d}-{formula}"
    place = f"{made.row:03d}-{made.number:05d}-{formula}"
    which = file.removeprefix("recipe").removeprefix("-").removesuffix(".json")
    return f"{which}-{place}" if which else place


def _describe(
    made: CrystalEntry, name: str, recipes: dict[str, dict[str, Any]]
) -> tuple[str, dict[str, Any]]:
    crystal = Cell.from_structure(made.structure)
    # At a wider tolerance a crystal that was moved onto a group may have a higher one.
    symprec = STRICT if "target_space_group" in made.facts else SYMPREC
    cif, group = symmetrised_cif(crystal, symprec)
    if made.recipe is not None:
        cif = embed_recipe(cif, made.recipe, made.row, made.number)
    line = {
        "id": name,
        "formula": crystal.formula,
        "num_atoms": len(crystal),
        "space_group": group,
        "density": round(density(crystal), 4),
        "min_distance": round(shortest_distance(crystal), 4),
        "seed": "",
        "row": made.row if made.recipe is not None else "",
        "number": made.number if made.recipe is not None else "",
        "recipe": _file_of(made, recipes),
        "cif": f"{CIFS}/{name}.cif",
        **made.columns,
    }
    return cif, line


def _table(lines: list[dict[str, Any]]) -> str:
    keys = dict.fromkeys(key for line in lines for key in line)
    columns = [*(c for c in COLUMNS if c in keys), *(k for k in keys if k not in COLUMNS)]
    return csv_text(lines, columns)
