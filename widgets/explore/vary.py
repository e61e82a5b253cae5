"""Neighbours of a crystal, and the way from one crystal to another, through the latent space."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import (
    Notice,
    Panel,
    button,
    caption,
    column,
    disable,
    heading,
    labelled,
    row,
)
from crystal_ldm.widgets.controls.seed import SeedControl
from crystal_ldm.widgets.crystal_entry import CrystalEntry, from_result
from crystal_ldm.widgets.explore.source import CrystalSource, Find, Givers
from crystal_ldm.widgets.jobs import Job
from crystal_ldm.widgets.viewers.trajectory import TrajectoryPlayer

if TYPE_CHECKING:
    from crystal_ldm.ldm_module import LDMModule

OnMade = Callable[[list[CrystalEntry]], Any]


class VaryPanel(Panel):
    """Varies a crystal and interpolates between two: `VaryPanel(ldm)`.

    Traits:
        ldm: the model.
        strength: how far back towards noise, above 0 (the crystal) to 1 (nothing is left of it).
        num_samples: neighbours to make.
        keep_elements: whether the elements stay.
        steps: crystals on the way from one to the other, both ends included.
    """

    ldm = tl.Any()
    strength = tl.Float(0.4, min=0.05, max=1)
    num_samples = tl.Int(8, min=1, max=200)
    keep_elements = tl.Bool(True)
    steps = tl.Int(8, min=2, max=50)

    def __init__(
        self, ldm: LDMModule, givers: Givers | None = None, find: Find | None = None
    ) -> None:
        super().__init__()
        self.ldm = ldm
        self.job = Job()
        self.notice = Notice()
        self._actions: list[OnMade] = []
        self.first = CrystalSource("Start", givers, find)
        self.second = CrystalSource("End", givers, find)
        self.seed = SeedControl()
        self.player = TrajectoryPlayer(
            height=300, empty="The crystals made here are shown here.", noun="crystal"
        )
        strength = ipw.FloatSlider(min=0.05, max=1, step=0.05, readout_format=".2f")
        strength.add_class("cl-fill")
        counts = {n: ipw.BoundedIntText(min=1, max=200) for n in ("num_samples", "steps")}
        keep = ipw.Checkbox(description="keep the elements", indent=False)
        keep.add_class("cl-check")
        for name, control in (("strength", strength), ("keep_elements", keep), *counts.items()):
            tl.link((self, name), (control, "value"))
        for control in counts.values():
            control.add_class("cl-count")
        guard = self.notice.guard
        self.buttons = [
            button("Vary", guard(self.vary), css="cl-vary", icon="random"),
            button("Interpolate", guard(self.interpolate), css="cl-interpolate", icon="exchange"),
        ]
        tip = "How much of the diffusion time is gone back"
        self.widget = column(
            heading("Neighbours of a crystal"),
            self.first.widget,
            labelled("Strength", strength, tip=tip),
            row(labelled("Neighbours", counts["num_samples"]), keep, self.buttons[0]),
            self.seed.widget,
            heading("From one crystal to another"),
            caption("Both need as many atoms in the primitive cell; the start is chosen above."),
            self.second.widget,
            row(labelled("Steps", counts["steps"]), self.buttons[1]),
            self.notice.widget,
            self.player.widget,
            css="cl-vary-panel",
        )
        self.job.observe(guard(self._on_state), "state")

    def on_made(self, action: OnMade) -> None:
        """Call `action(crystals)` with what was made, in the worker's thread."""
        self._actions.append(action)

    def vary(self) -> None:
        """Make neighbours of the start in the background."""
        batch = self._batch(self.first)
        strength, count, keep = self.strength, self.num_samples, self.keep_elements
        seed = self.seed.use()

        def work(_: Job) -> None:
            result = self.ldm.vary(batch, strength, count, keep_elements=keep, seed=seed)
            entries = from_result(result, "varied")
            for one in entries:
                one.facts["strength"] = strength
            self._finish(entries)

        self.job.start(work)

    def interpolate(self) -> None:
        """Make crystals between start and end in the background."""
        ends, steps = (self._batch(self.first), self._batch(self.second)), self.steps

        def work(_: Job) -> None:
            structures = self.ldm.interpolate(*ends, steps).to_structures()
            self._finish([CrystalEntry(structure, "interpolated") for structure in structures])

        self.job.start(work)

    def _batch(self, source: CrystalSource) -> Any:
        from crystal_ldm.crystals import CrystalBatch
        from crystal_ldm.errors import RequestError

        if source.structure is None:
            which = "start" if source is self.first else "end"
            raise RequestError(f"Choose a crystal for the {which}, or drop a file.")
        return CrystalBatch.from_structures([source.structure])

    def _finish(self, entries: list[CrystalEntry]) -> None:
        self.player.set_trajectory([one.structure for one in entries])
        for action in self._actions:
            action(entries)

    def _on_state(self, change: Any) -> None:
        for press in self.buttons:
            disable(press, "Crystals are being made." if self.job.busy else "")
        if change.new == "running":
            self.notice.say("Working…")
        elif change.new == "failed":
            self.notice.say(self.job.error, "error")
        else:
            count = self.player.num_frames
            self.notice.say(f"{count} crystals are below and in the table of crystals.", "good")
