"""What a workbench has made, on disk: one folder for each request below its run directory.

| name | holds |
|---|---|
| `workbench/0001-SrTiO3/run/` | one press of Generate: a whole `crystal_ldm.runs.SampleRun` |
| `workbench/0002-Relaxed-SrTiO3/crystals.json` | crystals that no single recipe makes |
| `…/request.json` | the request in words, and whether it is hidden |
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.widgets.crystal_entry import CrystalEntry, from_run

from crystal_ldm.errors import CrystalLDMError, DataError
from crystal_ldm.files.writing import atomic_write_json, make_folder

if TYPE_CHECKING:
    from crystal_ldm.crystals import CrystalBatch
    from crystal_ldm.ldm_module import LDMModule
    from crystal_ldm.runs import SampleRun

FOLDER = "workbench"
WORDS = "request.json"
CRYSTALS = "crystals.json"


@dataclass
class Request:
    """One press of a button.

    Attributes:
        folder: where its crystals are.
        words: what was asked for.
        hidden: whether its crystals are left out of the table.
    """

    folder: Path
    words: str
    hidden: bool = False


class Session:
    """The requests of a workbench: `Session(run_dir)`."""

    def __init__(self, run_dir: Path | str) -> None:
        self.folder = Path(run_dir) / FOLDER
        self._lock = threading.Lock()

    def requests(self) -> list[Request]:
        """Return all requests, the oldest first; folders that cannot be read are passed over."""
        requests = []
        for folder in sorted(self.folder.glob("[0-9]*")):
            try:
                about = json.loads((folder / WORDS).read_text(encoding="utf-8"))
                request = Request(folder, str(about["words"]), bool(about["hidden"]))
            except (OSError, ValueError, KeyError, TypeError):
                continue
            requests.append(request)
        return requests

    def add(self, words: str) -> Request:
        """Make the folder of a new request.

        Raises:
            RunError: it cannot be written.
        """
        with self._lock:
            numbers = [int(f.name[:4]) for f in self.folder.glob("[0-9][0-9][0-9][0-9]*")]
            short = re.sub(r"[^A-Za-z0-9]+", "-", words)[:40].strip("-")
            folder = make_folder(self.folder / f"{max(numbers, default=0) + 1:04d}-{short}")
        request = Request(folder, words)
        self.save(request)
        return request

    def save(self, request: Request) -> None:
        """Write down a request's words and whether it is hidden."""
        about = {"words": request.words, "hidden": request.hidden}
        atomic_write_json(request.folder / WORDS, about)

    def open_run(
        self,
        words: str,
        ldm: LDMModule,
        batch: CrystalBatch | None,
        num_samples: int,
        settings: Mapping[str, Any],
    ) -> tuple[Request, SampleRun]:
        """Return a new request, and the run that its crystals go into as they are finished.

        Raises:
            RequestError, RunError: see `SampleRun.open`.
        """
        from crystal_ldm.runs import SampleRun

        request = self.add(words)
        try:
            path = request.folder / "run"
            return request, SampleRun.open(path, ldm, batch, num_samples, settings=settings)
        except BaseException:
            self.delete(request)  # nothing was asked for after all
            raise

    def keep(self, words: str, entries: Sequence[CrystalEntry]) -> Request:
        """Write crystals that are finished.

        Raises:
            RunError: they cannot be written.
        """
        request = self.add(words)
        crystals = [
            {
                "structure": entry.structure.as_dict(),
                "origin": entry.origin,
                "recipe": entry.recipe,
                "place": [entry.row, entry.number],
                "facts": {name: plain(value) for name, value in entry.facts.items()},
            }
            for entry in entries
        ]
        atomic_write_json(request.folder / CRYSTALS, json.loads(json.dumps(crystals)))
        return request

    def entries(self, request: Request) -> list[CrystalEntry]:
        """Return the crystals of a request that are on disk.

        Raises:
            DataError: they cannot be read.
        """
        file = request.folder / CRYSTALS
        if not file.is_file():
            return from_run(request.folder / "run")
        try:
            return [_entry(one) for one in json.loads(file.read_text(encoding="utf-8"))]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"'{file}' is damaged ({error}).") from error

    def recipe(self, request: Request) -> dict[str, Any] | None:
        """Return what makes the crystals of a request again; None where no single recipe does."""
        from crystal_ldm.runs import read_run_recipe

        try:
            return read_run_recipe(request.folder / "run")
        except CrystalLDMError:
            return None

    def delete(self, request: Request) -> None:
        """Remove a request and its crystals from the disk."""
        shutil.rmtree(request.folder, ignore_errors=True)


def plain(value: Any) -> Any:
    """Return a fact as JSON has it: a number that is none becomes nothing."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and value != value else value


def _entry(data: Mapping[str, Any]) -> CrystalEntry:
    from pymatgen.core import Structure

    structure = Structure.from_dict(data["structure"])
    row, number = data["place"]
    return CrystalEntry(structure, data["origin"], data["recipe"], row, number, data["facts"])
