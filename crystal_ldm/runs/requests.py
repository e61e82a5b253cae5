"""The requests of a session: what was asked for in one run directory after the run itself.

| name | holds |
|---|---|
| `workbench/0001-SrTiO3/run/` | one request: a whole run of its own, see `SampleRun` |
| `workbench/0002-Relaxed-SrTiO3/crystals.json` | crystals that no single recipe makes |
| `…/request.json` | the request in words, its note, whether it is a favourite or hidden |
| `workbench/last.json` | the last number that was given to a request: none is given twice |
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.errors import CrystalLDMError, DataError
from crystal_ldm.files import DirectoryLock
from crystal_ldm.files.run_directory import read_object
from crystal_ldm.files.writing import atomic_write_json, make_folder, write_error
from crystal_ldm.runs.sample_run import SampleRun, read_run_recipe

if TYPE_CHECKING:
    from crystal_ldm.sampling.denoising import Order

FOLDER = "workbench"
ABOUT = "request.json"
LAST = "last.json"
CRYSTALS = "crystals.json"
RUN = "run"


@dataclass
class Request:
    """One request.

    Attributes:
        folder: where its crystals are.
        words: what was asked for.
        hidden: whether its crystals are left out of a table.
        favourite: whether it stands before the others.
        note: what a person has written of it.
        count: how many crystals were asked for; 0: as many as there are.
    """

    folder: Path
    words: str
    hidden: bool = False
    favourite: bool = False
    note: str = ""
    count: int = 0

    @property
    def run_dir(self) -> Path:
        """The run directory of its crystals, if one recipe makes all of them."""
        return self.folder / RUN


class Requests:
    """The requests of a run directory: `Requests(run_dir)`."""

    def __init__(self, run_dir: Path | str) -> None:
        self.folder = Path(run_dir) / FOLDER
        self._lock = threading.Lock()

    def requests(self) -> list[Request]:
        """Return all requests, the oldest first; folders that cannot be read are passed over."""
        requests = []
        for folder in sorted(self.folder.glob("[0-9]*"), key=_number):
            about = read_object(folder / ABOUT)
            if "words" in about:
                known = {one.name: about[one.name] for one in fields(Request) if one.name in about}
                requests.append(Request(folder, **known))
        return requests

    def add(self, words: str) -> Request:
        """Make the folder of a new request.

        Raises:
            RunError: it cannot be written.
        """
        short = re.sub(r"[^A-Za-z0-9]+", "-", words)[:40].strip("-")
        with self._lock, DirectoryLock(make_folder(self.folder)):
            # A number stands for one request, also when that was deleted.
            last = read_object(self.folder / LAST).get("number")
            numbers = [last if isinstance(last, int) else 0]
            number = max([*numbers, *map(_number, self.folder.glob("[0-9]*"))]) + 1
            atomic_write_json(self.folder / LAST, {"number": number})
            folder = make_folder(self.folder / f"{number:04d}-{short}")
        request = Request(folder, words)
        self.save(request)
        return request

    def save(self, request: Request) -> None:
        """Write down all of a request but its crystals.

        Raises:
            RunError: it cannot be written.
        """
        about = {name: value for name, value in vars(request).items() if name != "folder"}
        atomic_write_json(request.folder / ABOUT, about)

    def change(self, request: Request, **fields: Any) -> None:
        """Set fields of a request; what else was written of it meanwhile stays.

        Raises:
            RunError: it cannot be written.
        """
        written = read_object(request.folder / ABOUT)
        for name, value in {**written, **fields}.items():
            setattr(request, name, value)
        self.save(request)

    def open_run(self, words: str, order: Order) -> tuple[Request, SampleRun]:
        """Return a new request, and the run that its crystals go into as they are finished.

        Raises:
            RunError: see `SampleRun.open`.
        """
        request = self.add(words)
        return request, SampleRun.open(request.run_dir, order)

    def write_crystals(self, request: Request, crystals: Sequence[Mapping[str, Any]]) -> None:
        """Write crystals that no single recipe makes, as JSON data.

        Raises:
            RunError: they cannot be written.
        """
        atomic_write_json(request.folder / CRYSTALS, list(crystals))

    def read_crystals(self, request: Request) -> list[dict[str, Any]] | None:
        """Return what `write_crystals` wrote; None where the request has a run instead.

        Raises:
            DataError: it cannot be read.
        """
        file = request.folder / CRYSTALS
        if not file.is_file():
            return None
        try:
            crystals = json.loads(file.read_text(encoding="utf-8"))
            return [dict(crystal) for crystal in crystals]
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"'{file}' is damaged ({error}).") from error

    def recipe(self, request: Request) -> dict[str, Any] | None:
        """Return what makes the crystals of a request again; None where no single recipe does."""
        try:
            return read_run_recipe(request.run_dir)
        except CrystalLDMError:
            return None

    def delete(self, request: Request) -> None:
        """Remove a request and its crystals from the disk.

        Raises:
            RunError: the file system refused.
        """
        try:
            if request.folder.exists():
                shutil.rmtree(request.folder)
        except OSError as error:
            raise write_error(request.folder, error) from error


def _number(folder: Path) -> int:
    """Return the number that the name of a request's folder begins with."""
    return int(re.findall("[0-9]+", folder.name)[0])
