"""The denoising of the selected crystal, which is made again for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from crystal_ldm.widgets.base import Panel
from crystal_ldm.widgets.crystal_entry import CrystalEntry, trajectory_of
from crystal_ldm.widgets.jobs import Latest
from crystal_ldm.widgets.layout import column
from crystal_ldm.widgets.viewers.trajectory import TrajectoryPlayer, TrajectorySteps

from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.recipe import makes_crystals_of
from crystal_ldm.sampling import TrajectoryFrame

PATIENCE = 0.1
"""Seconds before a crystal is made again, as others may be passed on the way to it."""

SAYS = (
    "Each step shows the model's estimate of the final crystal from what is still noise, not a "
    "crystal on its way there; the last step is the final crystal."
)


class DenoisingPanel(Panel):
    """Plays the denoising of one crystal after the other: `DenoisingPanel().show(ldm, entry)`."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[CrystalEntry | None, LDMModule | None] = None, None
        self._latest = Latest(self.notice)
        self.player = TrajectoryPlayer(empty="Select a generated crystal to see its denoising.")
        self.widget = column(self.notice.widget, self.player.widget)

    def show(self, ldm: LDMModule, made: CrystalEntry | None) -> None:
        """Show the denoising of a crystal by the model that made it, in the background."""
        if made is self._shown[0] and ldm is self._shown[1]:
            return
        self._shown = made, ldm
        empty = partial(self.player.show_structures, [])
        if made is None:
            self._latest.drop()
            self.notice.clear()
            empty()
            return
        self.notice.say("The crystal is made again, and each step kept…")

        def work() -> Sequence[TrajectoryFrame]:
            if made.recipe is not None and not makes_crystals_of(ldm, made.recipe):
                raise RequestError(
                    f"The model {made.recipe['model']} made this crystal: choose that one below "
                    "Generate to see the steps."
                )
            return trajectory_of(ldm, made)

        def play(frames: Sequence[TrajectoryFrame]) -> None:
            self.player.show(TrajectorySteps.from_frames(frames, made.structure))
            self.notice.say(SAYS)

        self._latest.start(work, play, PATIENCE, failed=empty)
