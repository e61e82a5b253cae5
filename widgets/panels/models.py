"""Which model is used: a shipped one, or a checkpoint of one's own."""

from __future__ import annotations

from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Panel
from crystal_ldm.widgets.controls.training_cells import most_atoms
from crystal_ldm.widgets.jobs import Job
from crystal_ldm.widgets.layout import column, labelled, show_if

from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.pretrained import available, load_model

OWN = "another file or run…"


class ModelPicker(Panel):
    """Chooses a model: `ModelPicker(ldm)`.

    Traits:
        ldm: the model in use.
    """

    ldm = tl.Any()

    def __init__(self, ldm: LDMModule) -> None:
        super().__init__()
        self.ldm = ldm
        self.job = Job()
        names = list(dict.fromkeys([str(ldm.source), *available()]))
        self._menu = ipw.Dropdown(options=[*names, OWN], value=str(ldm.source))
        self._menu.add_class("cl-fill")
        path = ipw.Text(placeholder="file or run directory of 03_ldm").add_class("cl-fill")
        load = self.button("Load", lambda: self.load(path.value), css="cl-small")
        self._own = labelled("", path, load)
        show_if(False, self._own)
        self.widget = column(labelled("Model", self._menu), self._own, self.notice.widget)
        self._menu.observe(self.notice.guard(self._on_choice), "value")
        self.job.tell(self.notice, "Loading…")
        self.react("ldm", self._describe)
        self._describe()

    def load(self, name: str) -> None:
        """Load a model in the background; `ldm` changes when it is there."""

        def work(_: Job) -> None:
            self.ldm = load_model(name)

        if not self.job.start(work):
            self.notice.say("A model is being loaded already.", "warning")

    def _on_choice(self, change: Any) -> None:
        show_if(change.new == OWN, self._own)
        if change.new not in (OWN, str(self.ldm.source)):
            self.load(change.new)

    def _describe(self) -> None:
        source = str(self.ldm.source)
        if source not in self._menu.options:
            self._menu.options = [source, *self._menu.options]
        self._menu.value = source
        self.notice.say(
            f"{len(self.ldm.elements)} elements, cells of up to {most_atoms(self.ldm)} atoms."
        )
