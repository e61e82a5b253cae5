"""What panels that make further crystals have in common: a model, a job, who is told of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import traitlets as tl
from crystal_ldm.widgets.base import Panel
from crystal_ldm.widgets.controls.seed import SeedControl
from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.jobs import Job
from crystal_ldm.widgets.viewers.trajectory import TrajectoryPlayer

from crystal_ldm.ldm_module import LDMModule


class MakerPanel(Panel):
    """A panel that makes crystals in the background and shows them: `VaryPanel`, `HostPanel`.

    Traits:
        ldm: the model.
        num_samples: crystals to make.
    """

    ldm = tl.Any()
    num_samples = tl.Int(8, min=1, max=200)

    def __init__(self, ldm: LDMModule) -> None:
        super().__init__()
        self.ldm = ldm
        self.job = Job()
        self.seed = SeedControl()
        self.player = TrajectoryPlayer(
            height=300, empty="The crystals made here are shown here.", noun="crystal"
        )
        self._actions: list[Callable[[list[CrystalEntry]], Any]] = []

    def on_made(self, action: Callable[[list[CrystalEntry]], Any]) -> None:
        """Call `action(crystals)` with what was made, in the worker's thread."""
        self._actions.append(action)

    def start(self, make: Callable[[], list[CrystalEntry]]) -> None:
        """Call `make()` in the background, show its crystals and tell of them."""

        def work(job: Job) -> None:
            entries = make()
            self.player.set_trajectory([one.structure for one in entries])
            for action in self._actions:
                action(entries)
            job.message = f"{len(entries)} crystals are below and in the table of crystals."

        self.job.start(work)
