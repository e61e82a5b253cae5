"""JupyterLab with this project's notebooks, in a clone or in any folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from crystal_ldm.errors import RunError
from crystal_ldm.files import repo_root
from crystal_ldm.files.run_directory import ROOT_VARIABLE, in_home
from crystal_ldm.files.writing import atomic_path, make_folder
from crystal_ldm.workflow.execution import kernel_environment
from crystal_ldm.workflow.notebooks import installed_notebooks

FIRST = "04_sample.ipynb"


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
    if not (root / FIRST).is_file():
        raise RunError(f"'{root / FIRST}' is no notebook: name another folder.")
    return root / FIRST
