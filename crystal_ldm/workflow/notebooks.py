"""The project's notebooks as files (of a clone, the user, the wheel), and JupyterLab with them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from crystal_ldm.errors import RunError, no_such
from crystal_ldm.files import repo_root
from crystal_ldm.files.paths import ROOT_VARIABLE, in_home
from crystal_ldm.files.writing import atomic_path, make_folder


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
    raise RunError(no_such("notebook", text, notebook_names()))


def read_notebook(path: Path | str) -> dict[str, Any]:
    """Return a notebook's JSON.

    Raises:
        RunError: it is no notebook of format 4 that can be read.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"'{path}' cannot be read as a notebook ({error}).") from error
    if isinstance(content, dict) and isinstance(content.get("cells"), list):
        return content
    raise RunError(f"'{path}' is not a notebook of format 4.")


FIRST = "04_sample.ipynb"


def kernel_environment() -> dict[str, str]:
    """Return variables with which Jupyter takes this Python's kernel, whatever others there are."""
    kernels = str(Path(sys.prefix) / "share" / "jupyter")
    path = os.pathsep.join(filter(None, (kernels, os.environ.get("JUPYTER_PATH"))))
    return {"JUPYTER_PREFER_ENV_PATH": "1", "JUPYTER_PATH": path}


def open_lab(folder: str = "", options: list[str] | None = None) -> int:
    """Run JupyterLab until it is stopped, in the place of this process where systems have that.

    Args:
        folder: root of its file browser and of relative paths; empty: the clone, else the
            current folder.
        options: of JupyterLab itself.

    Raises:
        RunError: the folder cannot be made, or notebooks cannot be copied into it.
    """
    root = in_home(folder).resolve() if folder else repo_root()
    if root.is_file():
        raise RunError(f"'{root}' is a file: name a folder, which JupyterLab shows.")
    first = provide_notebooks(root).relative_to(root).as_posix()
    words = ["--ServerApp.ip=localhost", f"--ServerApp.root_dir={root}"]
    words.append(f"--LabApp.default_url=/lab/tree/{first}")
    if hasattr(os, "getuid") and os.getuid() == 0:
        words.append("--allow-root")
    command = [sys.executable, "-m", "jupyterlab", *words, *(options or [])]
    environment = os.environ | kernel_environment() | {ROOT_VARIABLE: str(root)}
    if os.name == "nt":
        return subprocess.run(command, cwd=root, env=environment, check=False).returncode
    os.chdir(root)
    # JupyterLab takes the place of this process: whoever stops the one stops the other.
    os.execve(command[0], command, environment)


def provide_notebooks(root: Path) -> Path:
    """Copy the notebooks into `root` unless they are there; returns the one to begin with.

    In a clone they lie in `notebooks/`. A file of the same name is never written over.

    Raises:
        RunError: the folder cannot be made, or a notebook cannot be written.
    """
    if (root / "notebooks" / FIRST).is_file():
        return root / "notebooks" / FIRST
    make_folder(root)
    for source in installed_notebooks():
        if not os.path.lexists(root / source.name):
            with atomic_path(root / source.name) as part:
                shutil.copyfile(source, part)
    return root / FIRST
