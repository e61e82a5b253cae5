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
from crystal_ldm.crystals.symmetry.projection import STRICT
from crystal_ldm.crystals.writers import extxyz_frame, symmetrised_cif
from crystal_ldm.errors import RequestError
from crystal_ldm.files.run_directory import CIFS, RAW_CELLS, RECIPE, TABLE
from crystal_ldm.files.writing import csv_text
from crystal_ldm.recipe import embed_recipe
from crystal_ldm.runs.table import COLUMNS, crystal_name, facts_of

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
            line, cif, frame, poscar = _files(made, i, recipes)
            archive.writestr(line["cif"], cif)
            archive.writestr(f"poscar/{line['id']}.vasp", poscar)
            frames.append(frame)
            lines.append({**line, **(rows[i] if rows is not None else {}), **line})
        archive.writestr(RAW_CELLS, "".join(frames))
        keys = dict.fromkeys(key for line in lines for key in line)
        columns = [*(c for c in COLUMNS if c in keys), *(k for k in keys if k not in COLUMNS)]
        archive.writestr(TABLE, csv_text(lines, columns))
        for k, recipe in enumerate(recipes):
            archive.writestr(_recipe_file(k), json.dumps(recipe, indent=1))
    return buffer.getvalue()


FORMATS = ("CIF", "POSCAR", "extxyz", "HTML (3D, offline)")


def one_crystal(made: CrystalEntry, kind: str) -> tuple[str, bytes]:
    """Return name and content of a file with one crystal.

    Args:
        made: the crystal.
        kind: one of `FORMATS`: a symmetrised CIF with its recipe, the cell as it is, or a page that
            shows it and can be turned, with all that it needs.
    """
    line, cif, frame, poscar = _files(made, 0, _recipes([made]))
    name = line["id"]
    if kind == "CIF":
        return f"{name}.cif", cif.encode()
    if kind == "POSCAR":
        return f"{name}.vasp", poscar.encode()
    if kind == "extxyz":
        return f"{name}.extxyz", frame.encode()
    page = crystal_figure(made.structure, title=name).to_html({"showSendToCloud": False})
    return f"{name}.html", page.encode()


def _recipes(crystals: Sequence[CrystalEntry]) -> list[dict[str, Any]]:
    """Return the distinct recipes."""
    found: list[dict[str, Any]] = []
    for made in crystals:
        if made.recipe is not None and made.recipe not in found:
            found.append(made.recipe)
    return found


def _recipe_file(place: int) -> str:
    return f"recipe-{place + 1}.json" if place else RECIPE


def _files(
    made: CrystalEntry, index: int, recipes: list[dict[str, Any]]
) -> tuple[dict[str, Any], str, str, str]:
    """Return a crystal's line of the table, CIF, frame of an extxyz file and POSCAR."""
    crystal = Cell.from_structure(made.structure)
    # At a wider tolerance a crystal that was moved onto a group may have a higher one.
    symprec = STRICT if "target_space_group" in made.facts else SYMPREC
    cif, group = symmetrised_cif(crystal, symprec)
    name = f"{made.origin}-{index:05d}-{crystal.formula}"
    place: dict[str, Any] = {"row": "", "number": "", "recipe": ""}
    if made.recipe is not None:
        which = recipes.index(made.recipe)
        name = crystal_name(crystal, made.row, made.number)
        name = f"{which + 1}-{name}" if which else name
        place = {
            "row": made.row,
            "number": made.number,
            "recipe": _recipe_file(which),
        }
        cif = embed_recipe(cif, made.recipe, made.row, made.number)
    facts = facts_of(crystal, group)
    line = {"id": name, **facts, "seed": "", **place, "cif": f"{CIFS}/{name}.cif", **made.columns}
    return line, cif, extxyz_frame(crystal, name), str(made.structure.to(fmt="poscar"))
