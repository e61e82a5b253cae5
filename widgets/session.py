"""What a workbench has made, on disk: the requests of a run directory, as entries of its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from crystal_ldm.widgets.crystal_entry import CrystalEntry, from_run, plain
from pymatgen.core import Structure

from crystal_ldm.errors import DataError
from crystal_ldm.files.run_directory import TABLE
from crystal_ldm.runs.requests import Request, Requests

__all__ = ["Request", "Session", "in_words"]


class Session(Requests):
    """The requests of a workbench: `Session(run_dir)`."""

    def keep(
        self,
        words: str,
        entries: Sequence[CrystalEntry],
        request: Request | None = None,
        hidden: bool = False,
    ) -> Request:
        """Write crystals that are finished.

        Args:
            words: what was done.
            entries: the crystals.
            request: what they are kept as, which has got more of them; None: a new one.
            hidden: whether a new one is left out of the table.

        Raises:
            RunError: they cannot be written.
        """
        kept = request or self.add(words)
        try:
            self.write_crystals(kept, [_data(entry) for entry in entries])
        except BaseException:
            if request is None:
                self.delete(kept)  # an empty request would say that nothing was made
            raise
        for entry in entries:
            entry.request = kept.folder.name
        self.change(kept, words=words, **({} if request else {"hidden": hidden}))
        return kept

    def entries(self, request: Request) -> list[CrystalEntry]:
        """Return the crystals of a request that are on disk.

        Raises:
            DataError: they cannot be read.
        """
        crystals = self.read_crystals(request)
        if crystals is None:
            entries = from_run(request.run_dir)
        else:
            try:
                entries = [_entry(one) for one in crystals]
            except (ValueError, KeyError, TypeError) as error:
                problem = f"The crystals of '{request.folder}' are damaged ({error})."
                raise DataError(problem) from error
        for entry in entries:
            entry.request = request.folder.name
        return entries

    def recipe(self, request: Request) -> dict[str, Any] | None:
        """Return what makes all crystals of a request again; None where no single recipe does."""
        crystals = self.read_crystals(request)
        if crystals is None:
            return super().recipe(request)
        recipes: list[Any] = [one.get("recipe") for one in crystals]
        return recipes[0] if all(one == recipes[0] for one in recipes) else None

    def made(self, request: Request) -> int:
        """Return how many crystals of a run are on disk."""
        table = request.run_dir / TABLE
        return _lines(table, table.stat().st_mtime_ns) - 1 if table.is_file() else 0


@cache
def _lines(file: Path, _changed: int) -> int:
    return max(file.read_bytes().count(b"\n"), 1)


def in_words(verb: str, entries: Sequence[CrystalEntry]) -> str:
    """Return what was done with crystals: "Relaxed SrTiO3, 2"."""
    formulas = {entry.structure.composition.reduced_formula for entry in entries}
    return f"{verb} {', '.join(sorted(formulas)[:3])}, {len(entries)}"


def _data(entry: CrystalEntry) -> dict[str, Any]:
    return {
        "structure": entry.structure.as_dict(),
        "origin": entry.origin,
        "recipe": entry.recipe,
        "place": [entry.row, entry.number],
        "facts": {name: plain(value) for name, value in entry.facts.items()},
        "key": entry.identify(),
        "parent": entry.parent,
    }


def _entry(data: Mapping[str, Any]) -> CrystalEntry:
    row, number = data["place"]
    own = Structure.from_dict(data["structure"]), data["origin"], data["recipe"]
    names = data.get("key", ""), data.get("parent", "")
    return CrystalEntry(*own, row, number, data["facts"], *names)
