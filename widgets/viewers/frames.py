"""A viewer of the frames of a trajectory, which all lie in the browser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crystal_ldm.widgets.viewers.viewer import CrystalViewer
from pymatgen.core import Structure

from crystal_ldm.crystals.geometry.bonds import Bond, crystal_bonds, radius_bonds

REFINED = 40
"""Frames of a trajectory, the last ones, whose bonds are CrystalNN's."""


class FrameViewer(CrystalViewer):
    """Shows one of the frames of a trajectory, always in the cell as it was made; or one crystal.

    All frames go to the browser at once, so that none has to wait for the kernel; CrystalNN's
    bonds take the place of those by distance as soon as they are found.
    """

    def __init__(self, *, height: int = 380) -> None:
        self._frames: list[Structure] = []
        self._frame_bonds: list[list[Bond]] = []
        self._frame = 0
        super().__init__(height=height)

    def show(self, structure: Structure | None, **how: Any) -> None:
        """Show one crystal in place of a trajectory; see `CrystalViewer.show`."""
        with self._lock:
            self._frames = []
            super().show(structure, **how)

    def show_frames(self, frames: Sequence[Structure], frame: int) -> None:
        """Show a trajectory at one of its frames; `show_frame` goes to another."""
        with self._lock:
            self._frames, self._frame = list(frames), frame
            self._frame_bonds = [radius_bonds(one) for one in frames]
            self._take(self._frames[frame])
            self._draw("reset")
            self._refine_frames(self._frames)

    def show_frame(self, frame: int, *, drawn: bool = False) -> None:
        """Go to a frame of the trajectory; `drawn` says that the browser has done so by itself."""
        with self._lock:
            self._frame = frame
            self._take(self._frames[frame])
            self.stage.marked = []
            if not drawn or self.renderer != "ngl":
                self.stage.frame = frame
            self.say_picked()
            self._write_legend()

    def _choose_cell(self) -> None:
        if self._frames:
            self.forget()
            self.shown, self._scene = self.structure, None
            self.drawn_bonds = self._frame_bonds[self._frame]
        else:
            super()._choose_cell()

    def _on_cell(self) -> None:
        if not self._frames:
            super()._on_cell()

    def _hand_over(self, camera: str, frame: int | None = None) -> None:
        if not self._frames:
            super()._hand_over(camera)
            return
        pairs = zip(self._frames, self._frame_bonds, strict=True)
        scenes = [self.lay_out(one, bonds) for one, bonds in pairs]
        self._send(scenes, self._frame if frame is None else frame, camera)

    def _refine_frames(self, frames: list[Structure]) -> None:
        # The last ones matter most; of hundreds of frames the others keep bonds by distance.
        early = self._frame_bonds[:-REFINED]

        def work() -> list[list[Bond]]:
            return early + [crystal_bonds(one) for one in frames[-REFINED:]]

        def show(bonds: list[list[Bond]]) -> None:
            with self._lock:
                if frames is self._frames and bonds != self._frame_bonds:
                    self._frame_bonds = bonds
                    self.drawn_bonds, self._scene = bonds[self._frame], None
                    self._hand_over("keep", self.stage.frame)  # where the browser is by now

        self._latest.start(work, show)
