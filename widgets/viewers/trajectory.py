"""The denoising of a crystal, played, with what is measured along the way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as ipw
import numpy as np
import plotly.graph_objects as go
import traitlets as tl
from crystal_ldm.widgets.base import Panel
from crystal_ldm.widgets.browser.plot import Plot
from crystal_ldm.widgets.layout import caption, column, row, show_if
from crystal_ldm.widgets.viewers.viewer import CrystalViewer
from plotly.subplots import make_subplots
from pymatgen.core import Structure

from crystal_ldm.crystals.geometry.distances import min_distance
from crystal_ldm.sampling import TrajectoryFrame

MOST = 250
"""Steps that are shown of a denoising, at even distances: all frames go to the browser together."""
INTERVAL = 150
"""Milliseconds that a frame stays while playing."""


@dataclass
class TrajectorySteps:
    """One crystal's way from noise, a list entry for each frame.

    Attributes:
        structures: the estimate of the finished crystal at each frame.
        steps: number of the sampling step.
        noise_levels: how much of the latent is noise, 0 to 1; empty where there is none.
        curves: what is plotted, by its title.
    """

    structures: list[Structure]
    steps: list[int]
    noise_levels: list[float]
    curves: dict[str, list[float]]

    @classmethod
    def from_structures(cls, structures: Sequence[Structure]) -> TrajectorySteps:
        """Take plain structures as frames."""
        curves = {
            "Volume (Å³)": [float(one.volume) for one in structures],
            "Shortest distance (Å)": [min_distance(one) for one in structures],
        }
        return cls(list(structures), list(range(1, len(structures) + 1)), [], curves)

    @classmethod
    def from_frames(cls, frames: Sequence[TrajectoryFrame], final: Structure) -> TrajectorySteps:
        """Take the frames of one crystal, a denoising that ends with `final`."""
        frames = frames[:: -(-len(frames) // MOST)]
        found = cls.from_structures([*(f.crystals.to_structures()[0] for f in frames), final])
        found.steps = [*(int(frame.step) for frame in frames), int(frames[-1].num_steps)]
        found.noise_levels = [*(float(frame.noise_level[0]) for frame in frames), 0.0]
        atoms = len(final)
        known = [frame.element_confidence[0, :atoms].mean() for frame in frames]
        noise = [frame.predicted_noise_rms[0] for frame in frames]
        found.curves["Element confidence"] = [*map(float, known), math.nan]
        found.curves["Predicted noise (rms)"] = [*map(float, noise), math.nan]
        return found


class TrajectoryPlayer(Panel):
    """Flips through crystals: `TrajectoryPlayer(structures)`, or a denoising, `show`.

    `noun` is what a frame is called. All lie in the browser, so that playing and scrubbing do not
    wait for the kernel.

    Traits:
        frame: number of the frame shown, from 0.
    """

    frame = tl.Int(0, min=0)

    def __init__(
        self,
        structures: Sequence[Structure] = (),
        *,
        height: int = 340,
        empty: str = "There is no trajectory to show yet.",
        noun: str = "step",
    ) -> None:
        super().__init__()
        self._noun = noun
        self.viewer = CrystalViewer(height=height)
        self.plot = Plot(height=height + 40)
        self.play = ipw.Play(min=0, max=0, interval=INTERVAL, show_repeat=True).add_class("cl-play")
        self.slider = ipw.IntSlider(
            min=0, max=0, readout=False, layout=ipw.Layout(flex="1 1 120px", width="auto")
        ).add_class("cl-scrub")
        ipw.jslink((self.play, "value"), (self.slider, "value"))
        # One way only: what the kernel answers late must not pull the slider back.
        ipw.jsdlink((self.slider, "value"), (self.plot, "place"))
        ipw.jsdlink((self.slider, "value"), (self.viewer.stage, "frame"))
        self.position = caption("")
        self.empty = caption(empty)
        self.body = column(
            row(self.play, self.slider, self.position, css="cl-bar"),
            row(self.viewer.widget, self.plot, css="cl-two"),
        )
        self.widget = column(self.empty, self.body, self.notice.widget, css="cl-trajectory")
        guard = self.notice.guard
        self._moved_there = False
        self.slider.observe(guard(self._on_slider), "value")
        self.plot.observe(guard(self._on_click), "clicked")
        self.react("frame", self._show_frame)
        self.show_structures(structures)

    def show_structures(self, structures: Sequence[Structure]) -> None:
        """Show crystals, the last one first."""
        self.show(TrajectorySteps.from_structures(structures))

    def show(self, steps: TrajectorySteps) -> None:
        """Show a way from noise at its end."""
        self.steps = steps
        show_if(not steps.structures, self.empty)
        show_if(bool(steps.structures), self.body)
        if not steps.structures:
            return
        last = self.num_frames - 1
        self.viewer.show_frames(steps.structures, last)
        self.play.max = self.slider.max = last
        self.plot.show(curves_figure(steps, self._noun))
        self.plot.places = [float(step) for step in steps.steps]
        self.frame = last
        self._show_frame()

    @property
    def num_frames(self) -> int:
        """How many crystals there are."""
        return len(self.steps.structures)

    @property
    def structure(self) -> Structure | None:
        """The crystal of the frame shown."""
        return self.steps.structures[self.frame] if self.steps.structures else None

    @tl.validate("frame")
    def _within(self, proposal: Any) -> int:
        return int(min(proposal.value, max(self.num_frames - 1, 0)))

    def _on_slider(self, change: Any) -> None:
        self._moved_there = True
        try:
            self.frame = change.new
        finally:
            self._moved_there = False

    def _show_frame(self) -> None:
        if not self.steps.structures:
            return
        index = self.frame
        if not self._moved_there:
            self.slider.value = self.play.value = self.plot.place = index
        self.viewer.show_frame(index, drawn=self._moved_there)
        where = f"{self._noun} {self.steps.steps[index]} of {self.steps.steps[-1]}"
        if self.steps.noise_levels:
            where += f", noise {100 * self.steps.noise_levels[index]:.0f} %"
        self.position.value = where

    def _on_click(self, change: Any) -> None:
        step = change.new.get("x")
        if step is not None:
            steps = np.array(self.steps.steps)
            self.frame = int(np.abs(steps - float(step)).argmin())


def curves_figure(data: TrajectorySteps, noun: str = "step") -> go.Figure:
    """Return the curves of a trajectory, one below the other over the same steps."""
    figure = make_subplots(
        rows=len(data.curves),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.09,
        subplot_titles=list(data.curves),
    )
    for i, (title, values) in enumerate(data.curves.items(), start=1):
        figure.add_scatter(
            x=data.steps, y=values, mode="lines+markers", marker_size=4, line_width=1.5,
            name=title, hovertemplate=f"{noun} %{{x}}: %{{y:.3g}}<extra></extra>", row=i, col=1,
        )  # fmt: skip
    figure.update_annotations(font_size=11, x=0, xanchor="left")
    figure.update_yaxes(nticks=4, rangemode="tozero", tickfont_size=10)
    figure.update_xaxes(tickfont_size=10)
    figure.update_xaxes(
        title={"text": noun, "font_size": 11, "standoff": 4}, row=len(data.curves), col=1
    )
    return figure.update_layout(
        showlegend=False, margin={"l": 40, "r": 8, "t": 20, "b": 36}, hovermode="x"
    )
