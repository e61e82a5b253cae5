"""Run directories: what their files are called; opening, continuing and finding them."""

from __future__ import annotations

import json
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from crystal_ldm.errors import RunError
from crystal_ldm.files.locks import LOCK_NAME, DirectoryLock, claimed_by_living
from crystal_ldm.files.paths import repo_root, resolve_path
from crystal_ldm.files.writing import atomic_write_json, make_folder

RUN_FILE = "run.json"
STATUS_FILE = "status.json"

# What a run of crystals holds besides; `crystal_ldm.runs.sample_run` writes it.
CIFS = "cif"
"""Folder of symmetrised CIFs."""
P1_CIFS = "cif_p1"
"""Folder of the raw cells as CIFs without symmetry, if asked for."""
RAW_CELLS = "crystals.extxyz"
"""The cells as they were sampled."""
TABLE = "table.csv"
"""One line for each crystal that is wholly on disk."""
RECIPE = "recipe.json"
"""What makes all of them again."""

_STATUS_INTERVAL = 0.5  # seconds between two progress reports that are written
_MISSING = object()


@dataclass
class Run:
    """An open run directory, locked against other processes until `finish`, `fail` or `close`.

    Attributes:
        path: the directory.
        notebook: name of the notebook that works there, for example `04_sample`.
        recipe: what identifies the run: with another one the directory is refused.
        continued: the directory held this run already.
        finished: that earlier run had come to its end.
    """

    path: Path
    notebook: str
    recipe: dict[str, Any]
    continued: bool = False
    finished: bool = False
    _lock: DirectoryLock = field(default_factory=lambda: DirectoryLock("."), repr=False)
    _last_report: float = field(default=0.0, repr=False)

    def progress(self, step: int, total: int | None = None, message: str = "") -> None:
        """Record how far the run is; written at most twice a second."""
        now = time.monotonic()
        if now - self._last_report >= _STATUS_INTERVAL:
            self._last_report = now
            self._write_status("running", message, step=step, total=total)

    def finish(self, message: str = "") -> None:
        """Record that everything was done, and let others in."""
        self._write_status("finished", message)
        self.finished = True
        self.close()

    def fail(self, error: BaseException) -> None:
        """Record why the run ended early, and let others in; what was written stays."""
        if isinstance(error, KeyboardInterrupt):
            self._write_status("stopped", "by hand; the same call goes on there")
        else:
            self._write_status("failed", f"{type(error).__name__}: {error}")
        self.close()

    def close(self) -> None:
        """Let other processes in without a change of the status."""
        self._lock.release()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.finish()
        else:
            self.fail(error)

    def _write_status(self, state: str, message: str, **more: Any) -> None:
        status = {
            "state": state,
            "message": message,
            "updated": _now(),
            "pid": os.getpid(),
            "parent": os.getppid(),  # of a kernel: who executes the notebook
            "host": socket.gethostname(),
            **more,
        }
        atomic_write_json(self.path / STATUS_FILE, status)


def open_run(
    run_dir: Path | str, notebook: str, recipe: Mapping[str, Any], alone: bool = False
) -> Run:
    """Make or continue the run directory `run_dir` and lock it.

    Args:
        run_dir: the directory, relative to the repository's root; empty: a new
            `runs/<notebook>-<time>-<short id>` there.
        recipe: plain JSON values that identify the run. What only changes how fast or where it
            is done (batch size, workers, time budget) does not belong here.
        alone: whether this process may not have it open already.

    Raises:
        RunError: the directory holds another run or other files, is in use by another process,
            or cannot be written.
    """
    identity = _plain(recipe)
    text = str(run_dir).strip()
    path = resolve_path(text) if text else new_run_path(notebook)
    make_folder(path)
    lock = DirectoryLock(path)
    lock.acquire(alone=alone)
    try:
        run = _open_locked(path, notebook, identity, lock)
        run._write_status("running", "")
    except BaseException:
        lock.release()
        raise
    return run


def new_run_path(notebook: str) -> Path:
    """Return `runs/<notebook>-<time>-<short id>` at the repository's root; makes nothing."""
    stem = re.sub(r"[^\w.-]+", "_", notebook)
    name = f"{stem}-{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
    return repo_root() / "runs" / name


def read_run(path: Path | str) -> dict[str, Any]:
    """Return what `run.json` in the directory `path` says: notebook, recipe, created.

    Raises:
        RunError: it is missing or cannot be read.
    """
    file = Path(path) / RUN_FILE
    if not os.path.exists(file):
        raise RunError(f"'{path}' is not a run directory: it has no {RUN_FILE}.")
    content = read_object(file)
    if isinstance(content.get("recipe"), dict) and isinstance(content.get("notebook"), str):
        return content
    raise RunError(f"'{file}' cannot be read, or does not describe a run. Name another run_dir.")


def read_status(path: Path | str) -> dict[str, Any]:
    """Return `status.json` of a run directory: state, message, updated; {} without one."""
    return read_object(Path(path) / STATUS_FILE)


def is_at_work(path: Path) -> bool:
    """Return whether a process that may still live has a directory locked, as its file says."""
    return claimed_by_living(read_object(path / LOCK_NAME))


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file; {} where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def newest_runs(notebook: str, count: int | None = None) -> list[Path]:
    """Return run directories of `notebook` under `runs/`, the one worked on last first."""
    runs = []
    # A sweep keeps its jobs one level deeper than a run.
    for pattern in (f"*/{RUN_FILE}", f"*/*/{RUN_FILE}"):
        for file in (repo_root() / "runs").glob(pattern):
            if read_object(file).get("notebook") == notebook:
                updated = read_status(file.parent).get("updated", "")
                runs.append((str(updated), file.parent))
    return [path for _, path in sorted(runs, reverse=True)][:count]


def _open_locked(path: Path, notebook: str, recipe: dict[str, Any], lock: DirectoryLock) -> Run:
    if not (path / RUN_FILE).exists():
        _refuse_strangers(path, notebook)
        content = {"notebook": notebook, "created": _now(), "recipe": recipe}
        atomic_write_json(path / RUN_FILE, content)
        return Run(path, notebook, recipe, _lock=lock)
    before = read_run(path)
    if before["notebook"] != notebook:
        raise RunError(
            f"'{path}' holds a run of {before['notebook']}, not of {notebook}. "
            "Name another run_dir, or leave it empty."
        )
    differences = list(_differences(before["recipe"], recipe))
    if differences:
        raise RunError(
            f"'{path}' holds a run with another recipe: {'; '.join(differences[:3])}"
            f"{' and more' if len(differences) > 3 else ''}. "
            "Nothing was changed there; name another run_dir, or leave it empty."
        )
    done = read_status(path).get("state") == "finished"
    return Run(path, notebook, recipe, continued=True, finished=done, _lock=lock)


def _refuse_strangers(path: Path, notebook: str) -> None:
    """Refuse a directory with files of somebody else; the pipeline's own (`job.*`) are known."""
    known = {f"{notebook}.ipynb", f"{notebook}.html", STATUS_FILE}
    strangers = sorted(
        entry.name
        for entry in path.iterdir()
        if not (entry.name in known or entry.name.startswith(("job.", ".")))
    )
    if strangers:
        names = ", ".join(strangers[:3]) + (", ..." if len(strangers) > 3 else "")
        raise RunError(
            f"'{path}' is not a run directory and holds other files ({names}). "
            "Name a new or empty directory as run_dir."
        )


def _differences(old: Any, new: Any, key: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys([*new, *old]):
            inner = f"{key}.{name}" if key else str(name)
            yield from _differences(old.get(name, _MISSING), new.get(name, _MISSING), inner)
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield f"{key} was {_short(old)} and is now {_short(new)}"


def _short(value: Any) -> str:
    if value is _MISSING:
        return "not given"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return `recipe` as it will read back from JSON (tuples become lists)."""
    try:
        return dict(json.loads(json.dumps(dict(recipe), allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise RunError(f"The recipe of a run must be plain JSON values ({error}).") from error


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")
