"""The denoising of the selected crystal, which is made again for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crystal_ldm.widgets.base import Panel, column
from crystal_ldm.widgets.crystal_entry import CrystalEntry, trajectory_of
from crystal_ldm.widgets.jobs import Job
from crystal_ldm.widgets.viewers.trajectory import TrajectoryPlayer, TrajectorySteps

from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.recipe import makes_crystals_of

SAYS = (
    "Each step shows the model's estimate of the final crystal from what is still noise, not a "
    "crystal on its way there; the last step is the final crystal."
)


class DenoisingPanel(Panel):
    """Plays the denoising of one crystal after the other: `DenoisingPanel(ldm, current)`.

    Args:
        ldm: returns the model.
        current: returns the crystal to show, or None.
    """

    def __init__(
        self, ldm: Callable[[], LDMModule], current: Callable[[], CrystalEntry | None]
    ) -> None:
        super().__init__()
        self._ldm, self._current = ldm, current
        self._shown: tuple[CrystalEntry, LDMModule] | None = None
        self.job = Job()
        self.player = TrajectoryPlayer(empty="Select a generated crystal to see its denoising.")
        self.widget = column(self.notice.widget, self.player.widget)
        self.job.observe(self.notice.guard(self._on_state), "state")

    def show(self) -> None:
        """Show the denoising of the current crystal, in the background."""
        from crystal_ldm.errors import RequestError

        made, ldm = self._current(), self._ldm()
        if self.job.busy:
            return
        if made is None:
            if self._shown is not None:
                self._shown = None
                self.player.show_structures([])
                self.notice.clear()
            return
        if self._shown is not None and self._shown[0] is made and self._shown[1] is ldm:
            return
        self._shown = made, ldm

        def work(_: Job) -> None:
            if made.recipe is not None and not makes_crystals_of(ldm, made.recipe):
                raise RequestError(
                    f"The model {made.recipe['model']} made this crystal: choose that one below "
                    "Generate to see the steps."
                )
            steps = TrajectorySteps.from_frames(trajectory_of(ldm, made), made.structure)
            self.player.show(steps)

        self.job.start(work)

    def _on_state(self, change: Any) -> None:
        if change.new == "running":
            self.notice.say("The crystal is made again, and each step kept…")
        elif change.new == "failed":
            self.player.show_structures([])
            self.notice.say(self.job.error, "warning")
        elif change.new == "done":
            self.notice.say(SAYS)
        if change.new in ("failed", "done"):
            self.show()  # another crystal may have been selected meanwhile
