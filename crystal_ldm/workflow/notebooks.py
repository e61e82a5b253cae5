"""The project's notebooks as files: in a clone, in the folder of the user, in the wheel."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from crystal_ldm.errors import RunError, suggest
from crystal_ldm.files import repo_root
from crystal_ldm.files.run_directory import in_home

MAX_BYTES = 512 * 2**20


def installed_notebooks() -> list[Path]:
    """Return the notebooks that came with the package, sorted by name."""
    package = find_spec("crystal_ldm.notebooks")
    folders = package.submodule_search_locations if package else None
    return sorted(path for folder in folders or () for path in Path(folder).glob("*.ipynb"))


def notebook_names() -> list[str]:
    """Return the names of the notebooks that `find_notebook` finds by name, sorted."""
    root = repo_root()
    own = [path for folder in (root / "notebooks", root) for path in folder.glob("*.ipynb")]
    return sorted({path.stem for path in (*own, *installed_notebooks())})


def find_notebook(name: str | Path) -> Path:
    """Return the path of a notebook given by its name (`04_sample`) or its path.

    Raises:
        RunError: there is none, with the name that was probably meant.
    """
    text, root = str(name), repo_root()
    own = (root / "notebooks" / f"{text}.ipynb", root / f"{text}.ipynb", root / text)
    installed = (path for path in installed_notebooks() if path.stem == text)
    for path in (*own, in_home(text), *installed):
        if path.is_file() and path.suffix == ".ipynb":
            return path
    names = notebook_names()
    raise RunError(
        f"There is no notebook '{text}'.{suggest(Path(text).stem, names)} "
        f"There are: {', '.join(names) or 'none'}."
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
