"""Recipes in files: JSON, CIFs and zip archives, read within bounds."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crystal_ldm.errors import DataError
from crystal_ldm.sampling.recipe import MAX_BYTES, check_recipe, recipe_hash, recipe_of_row

MAX_FILE_BYTES = 512 * 2**20  # of an archive that holds one
TAG = "_crystal_ldm_recipe"

_PACKED = "zlib-base64"
"""How CIFs of before have a recipe of many rows."""
_FIELD = re.compile(rf"^{TAG}[ \t]*\n;([^\n]*)\n(.*?)\n;", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^data_[^\n]*\n", re.MULTILINE | re.IGNORECASE)


def read_recipe(file: Path | str | bytes) -> dict[str, Any]:
    """Return the recipe in a file made here, told apart by its content and not by its suffix.

    Args:
        file: path (or, as bytes, content) of a `recipe.json`, of a CIF, or of a zip archive that
            holds one of them.

    Raises:
        DataError: it cannot be read, holds no recipe, or the recipe is damaged.
    """
    name = "the given file" if isinstance(file, bytes) else f"'{file}'"
    content = file if isinstance(file, bytes) else _read(Path(file), name)
    is_archive = content.startswith(b"PK\x03\x04")
    text = _from_zip(content, name) if is_archive else _from_text(content, name)
    try:
        recipe = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DataError(f"The recipe in {name} is damaged or cut short ({error}).") from error
    return check_recipe(recipe, name)


def embed_recipe(
    cif: str, recipe: Mapping[str, Any], row: int, number: int, whole_hash: str = ""
) -> str:
    """Return the text of a CIF with the recipe of the crystal as the first item of its data block.

    A text field survives pymatgen and ASE, which pass over items that they do not know.

    Args:
        cif: text with one data block.
        recipe: of the whole result.
        row: the crystal's row of the request.
        number: the crystal's number within that row.
        whole_hash: `recipe_hash(recipe)`, where it is known already.

    Raises:
        DataError: `cif` has no data block, or the recipe no such row.
    """
    cif = cif.replace("\r\n", "\n")
    block = _BLOCK.search(cif)
    if block is None:
        raise DataError("The recipe cannot go into a CIF without a data block ('data_...').")
    own = {
        **recipe_of_row(recipe, int(row)),
        "row": int(row),
        "number": int(number),
        "recipe_hash": whole_hash or recipe_hash(recipe),
    }
    text = json.dumps(own, indent=1)  # each line starts with a bracket or a blank, none with `;`
    return f"{cif[: block.end()]}{TAG}\n;json\n{text}\n;\n{cif[block.end() :]}"


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed in a recipe")


def _read(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"{name} cannot be read ({reason}).") from error
    if len(content) > MAX_FILE_BYTES:
        raise DataError(f"{name} is larger than {MAX_FILE_BYTES // 2**20} MiB: no recipe is.")
    return content


def _from_text(content: bytes, name: str) -> str:
    if len(content) > MAX_BYTES:
        raise DataError(f"{name} is larger than {MAX_BYTES // 2**20} MiB: no recipe is.")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is neither a recipe nor a CIF nor a zip archive.") from error
    if text.lstrip().startswith("{"):
        return text
    field = _FIELD.search(text)
    if field:
        return _unpack(field[2], name) if field[1].strip() == _PACKED else field[2]
    raise DataError(
        f"{name} holds no recipe, or part of one. Recipes are in recipe.json and in the CIFs of a "
        "run; a CIF that another program has rewritten has lost it."
    )


def _unpack(packed: str, name: str) -> str:
    try:
        data = base64.b64decode("".join(packed.split()), validate=True)
        decoder = zlib.decompressobj()
        text = decoder.decompress(data, MAX_BYTES)
        if not decoder.eof:
            raise zlib.error("it is cut short or too large")
        return text.decode("utf-8")
    except (binascii.Error, zlib.error, ValueError) as error:
        raise DataError(f"The recipe in {name} is damaged or cut short ({error}).") from error


def _from_zip(content: bytes, name: str) -> str:
    """Read one member, in memory: nothing is ever unpacked to the disk."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            recipes = sorted(
                (m for m in archive.namelist() if m.lower().endswith(("recipe.json", ".cif"))),
                key=lambda m: (not m.lower().endswith("recipe.json"), m.count("/"), m),
            )
            if not recipes:
                raise EOFError("it holds neither a recipe.json nor a CIF")
            with archive.open(recipes[0]) as file:
                inner = file.read(MAX_BYTES + 1)
    # zipfile raises a RuntimeError for an encrypted member or an unknown compression
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError) as error:
        raise DataError(f"The archive {name} cannot be read ({error}).") from error
    return _from_text(inner, f"'{recipes[0]}' in {name}")
