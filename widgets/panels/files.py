"""Code that gives the same crystals, files to take away, and the way back from a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as ipw
from crystal_ldm.widgets.base import Listeners, Panel
from crystal_ldm.widgets.browser.buttons import CopyButton, DropZone, SaveButton
from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.export.archive import FORMATS, one_crystal, zip_crystals
from crystal_ldm.widgets.export.code import python_code, shell_line
from crystal_ldm.widgets.layout import caption, column, escape, heading, labelled, row, show_if

from crystal_ldm.errors import DataError, RequestError
from crystal_ldm.recipe import read_recipe

Crystals = Callable[[], tuple[Sequence[CrystalEntry], Sequence[dict[str, Any]]]]


class FilesPanel(Panel):
    """Shows code, downloads and loads recipes: `FilesPanel(crystals)`.

    `crystals()` returns the crystals to download and the rows that the gallery has of them;
    `follow` is told which one is looked at.
    """

    def __init__(self, crystals: Crystals) -> None:
        super().__init__()
        self._crystals = crystals
        self.on_load = Listeners()
        self.code = ipw.HTML().add_class("cl-code")
        self.copies = row(*(CopyButton(text=f"Copy {what}") for what in ("Python", "shell")))
        self.save = SaveButton(self._make, self.notice, text="Download all (zip)")
        self.kind = ipw.Dropdown(options=FORMATS, layout={"width": "150px"})
        self.save_one = SaveButton(self._make_one, self.notice, text="Download")
        self.zone = DropZone(
            self.load,
            self.notice,
            text="Drop a CIF or recipe.json made here, or press to choose one",
            accept=".cif,.json,.zip",
        )
        self.widget = column(
            heading("Download"),
            labelled("All crystals", self.save),
            caption(
                "CIF (symmetrised, with its recipe), POSCAR, extxyz (raw cells), table, recipe."
            ),
            labelled("Selected crystal", self.kind, self.save_one),
            heading("Load a recipe"),
            self.zone,
            self.notice.widget,
            heading("The same crystals from code"),
            self.copies,
            self.code,
            css="cl-files",
        )
        self.follow(None, "")

    def follow(self, entry: CrystalEntry | None, title: str) -> None:
        """Offer a crystal, which is called `title`, and the code that makes it."""
        self._entry = entry
        recipe = None if entry is None else entry.recipe
        show_if(recipe is not None, self.copies)
        if entry is None or recipe is None:
            self.code.value = '<span class="cl-caption">Choose a generated crystal first.</span>'
            return
        called = f"{' '.join(title.split())}: row {entry.row}, number {entry.number}"
        source = f"# {called} of these crystals\n{python_code(recipe)}"
        parts = (("Python", source), ("Shell", shell_line(recipe)))
        for copy, (_, text) in zip(self.copies.children, parts, strict=True):
            copy.content = text
        self.code.value = "".join(
            f'<div class="cl-caption">{title}</div><pre tabindex="0">{escape(text)}</pre>'
            for title, text in parts
        )

    def load(self, name: str, content: bytes) -> None:
        """Read the recipe in a file.

        Raises:
            DataError: it holds none.
            RequestError: a form cannot show it.
        """
        try:
            recipe = read_recipe(content)
        except DataError as error:
            raise DataError(str(error).replace("the given file", name)) from error
        self.on_load.tell(recipe)
        self.notice.say(f"The form shows what {name} was made with.", "good")

    def _make(self) -> tuple[str, bytes]:
        crystals, rows = self._crystals()
        data = zip_crystals(crystals, rows)
        formulas = {made.structure.composition.reduced_formula for made in crystals}
        return f"{formulas.pop() if len(formulas) == 1 else 'crystals'}.zip", data

    def _make_one(self) -> tuple[str, bytes]:
        if self._entry is None:
            raise RequestError("Choose a crystal first: press it in the gallery or the table.")
        return one_crystal(self._entry, self.kind.value)
