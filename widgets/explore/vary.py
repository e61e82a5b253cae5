"""Neighbours of a crystal, and the way from one crystal to another, through the latent space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.explore.maker import CrystalSource, MakerPanel
from crystal_ldm.widgets.layout import caption, column, heading, labelled

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.sampling import Crystal


class VaryPanel(MakerPanel):
    """Varies a crystal and interpolates between two: `VaryPanel(ldm)`.

    Traits:
        ldm, num_samples: see `MakerPanel`.
        strength: how far back towards noise, above 0 (the crystal) to 1 (nothing is left of it).
        keep_elements: whether the elements stay.
        steps: crystals on the way from one to the other, both ends included.
    """

    strength = tl.Float(0.4, min=0.05, max=1)
    keep_elements = tl.Bool(True)
    steps = tl.Int(8, min=2, max=50)

    def __init__(
        self, ldm: LDMModule, source: Callable[[str], CrystalSource] = CrystalSource
    ) -> None:
        """`source` makes what takes a crystal, from what it is for."""
        super().__init__(ldm)
        self.first, self.second = source("Start"), source("End")
        strength = ipw.FloatSlider(min=0.05, max=1, step=0.05, readout_format=".2f")
        self.linked("strength", strength, "cl-fill")
        keep = ipw.Checkbox(description="keep the elements", indent=False)
        self.linked("keep_elements", keep, "cl-check")
        self.buttons = [
            self.button("Vary", self.vary, css="cl-vary", icon="random"),
            self.button("Interpolate", self.interpolate, css="cl-interpolate", icon="exchange"),
        ]
        tip = "How much of the diffusion time is gone back"
        self.widget = column(
            heading("Neighbours of a crystal"),
            self.first.widget,
            labelled("Strength", strength, tip=tip),
            self.number("num_samples", "Neighbours", keep, self.buttons[0]),
            self.seed.widget,
            heading("From one crystal to another"),
            caption("Both need as many atoms in the primitive cell; the start is chosen above."),
            self.second.widget,
            self.number("steps", "Steps", self.buttons[1]),
            self.notice.widget,
            self.player.widget,
            css="cl-vary-panel",
        )
        self.job.tell(self.notice, buttons=self.buttons)
        self.attend(self.first, self.second)

    def reuse(self, recipe: Mapping[str, Any]) -> None:
        """Show a request for neighbours of a crystal."""
        start: Any = self.fill(recipe, self.first)
        self.strength, self.keep_elements = start.strength, start.keep_elements

    def vary(self) -> None:
        """Make neighbours of the start in the background."""
        self.first.settle()
        batch = CrystalBatch.from_structures([self.first.chosen])
        start = Crystal(strength=self.strength, keep_elements=self.keep_elements)
        self.sample(batch, start, "varied", strength=self.strength)

    def interpolate(self) -> None:
        """Make crystals between start and end in the background."""
        for one in (self.first, self.second):
            one.settle()
        ends = [CrystalBatch.from_structures([one.chosen]) for one in (self.first, self.second)]
        steps = self.steps

        def make() -> list[CrystalEntry]:
            structures = self.ldm.interpolate(*ends, steps).to_structures()
            return [CrystalEntry(structure, "interpolated") for structure in structures]

        self.start(make)
