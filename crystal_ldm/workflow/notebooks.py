"""The project's notebooks as files: where they are, their parameters, no outputs in git."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crystal_ldm.errors import RunError, suggest
from crystal_ldm.files import repo_root
from crystal_ldm.files.atomic import atomic_write
from crystal_ldm.workflow.parameters import assigned_names

MAX_BYTES = 512 * 2**20

_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
_LANGUAGE = {"name": "python"}


def find_notebook(name: str | Path) -> Path:
    """Return the path of a notebook given by its name (`04_sample`) or its path.

    Raises:
        RunError: there is none, with the name that was probably meant.
    """
    text = str(name)
    folder = repo_root() / "notebooks"
    for path in (folder / f"{text}.ipynb", repo_root() / text, Path(text).expanduser()):
        if path.is_file() and path.suffix == ".ipynb":
            return path
    names = sorted(path.stem for path in folder.glob("*.ipynb"))
    raise RunError(
        f"There is no notebook '{text}'.{suggest(Path(text).stem, names)} "
        f"In {folder} there are: {', '.join(names) or 'none'}."
    )


def read_notebook(path: Path | str) -> dict[str, Any]:
    """Return a notebook's JSON.

    Raises:
        RunError: it cannot be read, or is not a notebook of format 4.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RunError(f"'{path}' is larger than {MAX_BYTES // 2**20} MiB.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"'{path}' cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"'{path}' is not a notebook, or is cut short ({error}).") from error
    if isinstance(content, dict) and isinstance(content.get("cells"), list):
        return content
    raise RunError(f"'{path}' is not a notebook of format 4.")


def parameter_names(path: Path | str) -> list[str]:
    """Return the names that the notebook's `parameters` cell assigns, in its order.

    Raises:
        RunError: it cannot be read or has no such cell.
    """
    for cell in read_notebook(path)["cells"]:
        if "parameters" in cell.get("metadata", {}).get("tags", ()):
            try:
                return assigned_names("".join(cell["source"]))
            except SyntaxError as error:
                raise RunError(
                    f"The parameters cell of '{path}' is not Python: {error}."
                ) from error
    raise RunError(f"'{path}' has no cell with the tag 'parameters'.")


def stripped(content: dict[str, Any]) -> str:
    """Return a notebook's text without outputs, counts and the traces of a machine."""
    cells = []
    for number, cell in enumerate(content["cells"]):
        metadata = {k: v for k, v in cell.get("metadata", {}).items() if k in ("tags", "jupyter")}
        clean: dict[str, Any] = {"cell_type": cell["cell_type"], "metadata": metadata}
        clean["id"] = cell.get("id", f"cell-{number}")
        if "attachments" in cell:
            clean["attachments"] = cell["attachments"]
        if cell["cell_type"] == "code":
            clean |= {"execution_count": None, "outputs": []}
        clean["source"] = "".join(cell["source"]).splitlines(keepends=True)
        cells.append(dict(sorted(clean.items())))
    metadata = {"kernelspec": _KERNEL, "language_info": _LANGUAGE}
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def unstripped(folder: Path | str) -> Iterator[Path]:
    """Yield the notebooks in `folder` that are not as `strip` would leave them."""
    for path in sorted(Path(folder).rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            text = path.read_text(encoding="utf-8")
            if text != stripped(read_notebook(path)):
                yield path


def strip(folder: Path | str) -> list[Path]:
    """Strip the notebooks in `folder`; returns the changed ones."""
    changed = list(unstripped(folder))
    for path in changed:
        atomic_write(path, stripped(read_notebook(path)))
    return changed
