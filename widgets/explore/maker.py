"""What panels that make further crystals have in common: a crystal to start from, and a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Listeners, Panel, counted
from crystal_ldm.widgets.browser.buttons import DropZone
from crystal_ldm.widgets.controls.seed import SeedControl
from crystal_ldm.widgets.crystal_entry import CrystalEntry, from_result
from crystal_ldm.widgets.export.request import settings_of
from crystal_ldm.widgets.jobs import Job, Latest
from crystal_ldm.widgets.layout import column, row
from crystal_ldm.widgets.viewers.trajectory import TrajectoryPlayer
from pymatgen.core import Structure

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.readers.sources import read_upload
from crystal_ldm.errors import DataError, RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.sampling import Start

ACCEPT = ".cif,.vasp,.poscar,.extxyz,.json"


class CrystalSource(Panel):
    """Takes one crystal: `CrystalSource("Start")`.

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

    def __init__(
        self,
        label: str,
        givers: Mapping[str, Callable[[], Structure | None]] | None = None,
        find: Callable[[str], Structure | None] | None = None,
    ) -> None:
        super().__init__()
        self._label = label
        self._latest = Latest(self.notice)
        say = "or drop a CIF or POSCAR here"
        self.zone = DropZone(self.read, self.notice, text=say, accept=ACCEPT)
        parts: list[ipw.DOMWidget] = [
            self.button(text, partial(self.seek, text, give), css="cl-small")
            for text, give in (givers or {}).items()
        ]
        if find is not None:
            box = ipw.Text(placeholder="training crystal: formula or id", continuous_update=False)

            def look(_: object = None) -> None:
                if text := box.value.strip():
                    self.seek(text, partial(find, text))

            box.observe(look, "value")
            parts += [box.add_class("cl-known"), self.button("Find", look, css="cl-small")]
        self.widget = column(row(*parts), self.zone, self.notice.widget, css="cl-source")
        self._chosen = (f"{label}: none chosen yet.", "info")
        self.settle()

    def seek(self, name: str, give: Callable[[], Structure | None]) -> None:
        """Take the crystal that `give()` returns, in the background: it may open a data set."""
        self.notice.say("Looking for the crystal…")
        self._latest.start(give, partial(self.take, name))

    def read(self, name: str, content: bytes) -> None:
        """Take the crystal in a file.

        Raises:
            DataError: it cannot be read.
        """
        if content.lstrip()[:1] == b"{" and b'"model_hash"' in content:
            raise DataError(f"{name} is a recipe: drop it on Export, which asks for its crystals.")
        cell, notes = read_upload(name, content)
        self._latest.drop()  # what is still being looked for was asked for before
        self.take(name, cell.to_structure(), notes)

    def take(self, name: str, structure: Structure | None, notes: Sequence[str] = ()) -> None:
        """Take a crystal; `name` says where it comes from, `notes` how it was read."""
        if structure is None:
            self.notice.say("There is none: select a crystal first.", "warning")
            return
        formula = structure.composition.reduced_formula
        origin = "" if name == formula else f" ({name})"
        taken = f"{self._label}: {formula}, {counted(len(structure), 'atom')}{origin}."
        self._chosen = (" ".join([taken, *notes]), "warning" if notes else "good")
        self.settle()  # first: whoever takes the crystal may have something against it
        with self.hold_trait_notifications():
            self.origin, self.structure = name, structure

    def settle(self) -> None:
        """Say what is chosen in place of what went wrong with another one."""
        self.notice.say(*self._chosen)

    @property
    def chosen(self) -> Structure:
        """The crystal.

        Raises:
            RequestError: there is none.
        """
        if self.structure is None:
            raise RequestError(f"Choose a crystal for the {self._label.lower()}, or drop a file.")
        return self.structure


class MakerPanel(Panel):
    """A panel that makes crystals in the background and shows them: `VaryPanel`, `HostPanel`.

    `on_made(action)` lets `action(crystals)` be called with what was made, in the worker's thread.

    Traits:
        ldm: the model.
        num_samples: crystals to make.
    """

    ldm = tl.Any()
    num_samples = tl.Int(8, min=1, max=200)

    def __init__(
        self,
        ldm: LDMModule,
        *,
        height: int = 300,
        empty: str = "The crystals made here are shown here.",
    ) -> None:
        super().__init__()
        self.ldm = ldm
        self.job = Job()
        self.seed = SeedControl()
        self.player = TrajectoryPlayer(height=height, empty=empty, noun="crystal")
        self.on_made = Listeners()

    def attend(self, *sources: CrystalSource) -> None:
        """Take back what this panel says once one of its sources says something new."""

        def clear(_: object) -> None:
            if not self.job.busy:
                self.notice.clear()

        for source in sources:
            source.notice.observe(clear, "text")

    def fill(self, recipe: Mapping[str, Any], source: CrystalSource) -> Start:
        """Show the crystal, the number and the seed of a recipe, and return its start."""
        self.num_samples, settings = settings_of(recipe)
        (crystal,) = CrystalBatch.from_request(recipe["request"]).to_structures()
        source.take("of the request", crystal)
        self.seed.seed = settings.seed
        return settings.start

    def sample(
        self, crystal: CrystalBatch, start: Start, origin: str = "generated", **facts: Any
    ) -> None:
        """Make crystals from one in the background; `facts` are columns of the table for them.

        Raises:
            CrystalLDMError: for what cannot be made; nothing is started then.
        """
        if self.job.busy:  # the second press of a double click
            return
        ldm, how = self.ldm, {"start": start, "seed": self.seed.seed}
        count = self.num_samples
        ldm.iter_sample(crystal, count, **how)  # checks it and computes nothing yet
        self.seed.use()

        def make() -> list[CrystalEntry]:
            entries = from_result(ldm.sample(crystal, count, **how), origin)
            for one in entries:
                one.facts |= facts
            return entries

        self.start(make)

    def start(self, make: Callable[[], list[CrystalEntry]]) -> None:
        """Call `make()` in the background, show its crystals and tell of them."""

        def work(job: Job) -> None:
            entries = make()
            self.player.show_structures([one.structure for one in entries])
            self.on_made.tell(entries)
            job.message = f"{counted(len(entries), 'crystal')}, below and in the table of crystals."

        self.job.start(work)
