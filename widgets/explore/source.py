"""A crystal to start from: the selected one, a training crystal, or a dropped file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Panel, button, column, row
from crystal_ldm.widgets.browser.drop_zone import DropZone
from pymatgen.core import Structure

from crystal_ldm.crystals.readers.uploads import read_upload
from crystal_ldm.errors import DataError

ACCEPT = ".cif,.vasp,.poscar,.extxyz,.json"
Givers = Mapping[str, Callable[[], "Structure | None"]]
Find = Callable[[str], "Structure | None"]


class CrystalSource(Panel):
    """Takes one crystal: `CrystalSource("Start from")`.

    Args:
        label: what the crystal is for.
        givers: further places to take it from, by the text of their button.
        find: finds a training crystal by its id or formula.

    Traits:
        structure: the crystal, or None.
        origin: where it comes from, plain text.
    """

    structure = tl.Any(None, allow_none=True)
    origin = tl.Unicode("")

    def __init__(self, label: str, givers: Givers | None = None, find: Find | None = None) -> None:
        super().__init__()
        self._label = label
        say = "or drop a CIF or POSCAR here"
        self.zone = DropZone(self.read, self.notice, text=say, accept=ACCEPT)
        buttons = [
            button(text, self.notice.guard(lambda text=text, give=give: self.take(text, give())),
                   css="cl-small")
            for text, give in (givers or {}).items()
        ]  # fmt: skip
        if find is not None:
            buttons += self._make_finder(find)
        self.widget = column(row(*buttons), self.zone, self.notice.widget, css="cl-source")
        self.notice.say(f"{label}: none chosen yet.")

    def _make_finder(self, find: Find) -> list[ipw.DOMWidget]:
        box = ipw.Text(placeholder="training crystal: formula or id").add_class("cl-known")

        def look() -> None:
            self.take(box.value.strip(), find(box.value.strip()))

        return [box, button("Find", self.notice.guard(look), css="cl-small")]

    def read(self, name: str, content: bytes) -> None:
        """Take the crystal in a file.

        Raises:
            DataError: it cannot be read.
        """
        if content.lstrip()[:1] == b"{" and b'"model_hash"' in content:
            raise DataError(f"{name} is a recipe: drop it on Export, which asks for its crystals.")
        self.take(name, read_upload(name, content).to_structure())

    def take(self, name: str, structure: Structure | None) -> None:
        """Take a crystal; `name` says where it comes from."""
        if structure is None:
            self.notice.say("There is none: select a crystal first.", "warning")
            return
        with self.hold_trait_notifications():
            self.origin, self.structure = name, structure
        formula = structure.composition.reduced_formula
        origin = "" if name == formula else f" ({name})"
        self.notice.say(f"{self._label}: {formula}, {len(structure)} atoms{origin}.", "good")
