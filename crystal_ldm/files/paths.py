"""What relative paths are relative to."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

PROJECT = "crystal-ldm"
ROOT_VARIABLE = "CRYSTAL_LDM_ROOT"  # environment variable of the kernels of `crystal-ldm lab`


def repo_root() -> Path:
    """Return the folder that relative paths are relative to.

    It is the clone of this project that the working directory lies in; from outside a clone, the
    clone that the package was installed from (`pip install -e`); and for a package that was
    installed from a wheel, the working directory. `crystal-ldm lab FOLDER` names it.
    """
    here = Path.cwd().resolve()
    named = os.environ.get(ROOT_VARIABLE)
    if named and here.is_relative_to(named):
        return Path(named)
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if _is_project(folder / "pyproject.toml"):
            return folder
    return Path.cwd()


def resolve_path(path: Path | str) -> Path:
    """Return `path` as an absolute one; a relative one is relative to `repo_root()`.

    What is not there but in the working directory is meant, too: a shell is often elsewhere.
    """
    inside = repo_root() / in_home(path)
    here = Path.cwd() / in_home(path)
    # os.path's `exists` is false for a path that the system refuses; `Path.exists` raises.
    outside = str(path).strip() and not os.path.exists(inside) and os.path.exists(here)
    return here if outside else inside


def in_home(path: Path | str) -> Path:
    """Return `path` with `~` as the home folder; as it is where there is no such user or folder."""
    try:
        return Path(str(path)).expanduser()
    except RuntimeError:
        return Path(str(path))


def _is_project(file: Path) -> bool:
    try:
        return bool(tomllib.loads(file.read_text(encoding="utf-8"))["project"]["name"] == PROJECT)
    except (OSError, ValueError, KeyError, TypeError):
        return False
