"""The denoising of a crystal, played, with what is measured along the way."""

from __future__ import annotations

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
from crystal_ldm.widgets.viewers.frames import FrameViewer
from plotly.subplots import make_subplots
from pymatgen.core import Structure

from crystal_ldm.crystals.geometry.distances import min_distance

MOST = 250
"""Frames that go to the browser together; of longer trajectories each goes when it is shown."""

CURVES = {
    "volume": "Volume (Å³)",
    "shortest": "Shortest distance (Å)",
    "confidence": "Element confidence",
    "noise": "Predicted noise (rms)",
}


@dataclass
class TrajectorySteps:
    """One crystal's way from noise, a list entry for each frame.

    Attributes:
        structures: the estimate of the finished crystal at each frame.
        steps: number of the sampling step.
        noise_levels: how much of the latent is noise, 0 to 1.
        confidence: mean probability that the decoder gives to the elements it shows; None if
            unknown.
        noise: root mean square of the predicted noise; None if unknown.
    """

    structures: list[Structure]
    steps: list[int]
    noise_levels: list[float]
    confidence: list[float] | None = None
    noise: list[float] | None = None

    @classmethod
    def from_structures(cls, structures: Sequence[Structure]) -> TrajectorySteps:
        """Take plain structures as frames."""
        count = len(structures)
        levels = np.linspace(1, 0, count).tolist()
        return cls(list(structures), list(range(1, count + 1)), levels)

    @classmethod
    def from_frames(
        cls, frames: Sequence[Any], crystal: int, final: Structure | None = None
    ) -> TrajectorySteps:
        """Take crystal number `crystal` out of `SampleResult.trajectory`; `final` ends it."""
        structures, confidence = [], []
        for frame in frames:
            one = frame.crystals[crystal]
            structures.append(one.to_structures()[0])
            atoms = int(one.num_atoms.reshape(-1)[0])
            confidence.append(float(frame.element_confidence[crystal, :atoms].mean()))
        steps = [int(frame.step) for frame in frames]
        levels = [float(frame.noise_level[crystal]) for frame in frames]
        noise = [float(frame.predicted_noise_rms[crystal]) for frame in frames]
        if final is not None:
            structures.append(final)
            steps.append(int(frames[-1].num_steps))
            levels.append(0.0)
            confidence.append(float("nan"))
            noise.append(float("nan"))
        return cls(structures, steps, levels, confidence, noise)

    def curves(self) -> dict[str, list[float]]:
        """Return what is plotted: the keys of `CURVES` that are known."""
        known = {
            "volume": [float(s.volume) for s in self.structures],
            "shortest": [min_distance(s) for s in self.structures],
            "confidence": self.confidence,
            "noise": self.noise,
        }
        return {key: values for key, values in known.items() if values is not None}


class TrajectoryPlayer(Panel):
    """Plays a denoising: `TrajectoryPlayer(result.trajectory)` or a list of structures.

    `noun` is what a frame is called. Frames that are no steps of a denoising are not said to be
    noisy, and go to the browser one by one; those of a denoising lie there together, so that
    playing and scrubbing do not wait for the kernel.

    Traits:
        frame: number of the frame shown, from 0.
        num_frames: how many there are; read-only.
        crystal: which crystal of the trajectory is shown.
        num_crystals: how many the trajectory holds; read-only.
        interval: milliseconds a frame stays while playing.
    """

    frame = tl.Int(0, min=0)
    num_frames = tl.Int(0, read_only=True)
    crystal = tl.Int(0, min=0)
    num_crystals = tl.Int(0, read_only=True)
    interval = tl.Int(150, min=20)

    def __init__(
        self,
        trajectory: Sequence[Any] = (),
        *,
        crystal: int = 0,
        height: int = 340,
        empty: str = "There is no trajectory to show yet.",
        noun: str = "step",
    ) -> None:
        super().__init__()
        self._final: Structure | None = None
        self._noun = noun
        self._trajectory: Sequence[Any] = ()
        self.steps = TrajectorySteps([], [], [])
        self.viewer = FrameViewer(height=height)
        self.plot = Plot(height=height + 40)
        self.play = ipw.Play(min=0, max=0, interval=self.interval, show_repeat=True)
        self.play.add_class("cl-play")
        self.slider = ipw.IntSlider(
            min=0, max=0, readout=False, layout=ipw.Layout(flex="1 1 120px", width="auto")
        )
        self.slider.add_class("cl-scrub")
        ipw.jslink((self.play, "value"), (self.slider, "value"))
        self._together = noun == "step"
        # One way only: what the kernel answers late must not pull the slider back.
        ipw.jsdlink((self.slider, "value"), (self.plot, "place"))
        if self._together and isinstance(self.viewer.stage, ipw.Widget):
            ipw.jsdlink((self.slider, "value"), (self.viewer.stage, "frame"))
        self.position = caption("")
        self._which = ipw.Dropdown(options=[1], description="Crystal")
        self._which.add_class("cl-number")
        self.empty = caption(empty)
        self.body = column(
            row(self._which, self.play, self.slider, self.position, css="cl-bar"),
            row(self.viewer.widget, self.plot, css="cl-two"),
        )
        self.widget = column(self.empty, self.body, self.notice.widget, css="cl-trajectory")
        guard = self.notice.guard
        self._moved_there = False
        self.slider.observe(guard(self._on_slider), "value")
        self._which.observe(guard(lambda change: setattr(self, "crystal", change.new)), "index")
        self.plot.observe(guard(self._on_click), "clicked")
        self.react("frame", self._show_frame)
        self.react("crystal", self._load)
        self.observe(lambda change: setattr(self.play, "interval", change.new), "interval")
        self.set_trajectory(trajectory, crystal)

    def set_trajectory(
        self,
        trajectory: Sequence[Any] | None,
        crystal: int = 0,
        final: Structure | None = None,
    ) -> None:
        """Show crystal number `crystal` of another trajectory, at its last frame.

        `final` is the finished crystal, which follows the estimates of a recorded denoising.
        """
        self._trajectory = list(trajectory or ())
        self._final = final
        first = self._trajectory[0] if self._trajectory else None
        count = len(first.crystals) if first is not None and hasattr(first, "crystals") else 1
        self.set_trait("num_crystals", count if self._trajectory else 0)
        self._which.options = range(1, max(self.num_crystals, 1) + 1)
        show_if(self.num_crystals > 1, self._which)
        show_if(not self._trajectory, self.empty)
        show_if(bool(self._trajectory), self.body)
        self.crystal = min(crystal, max(self.num_crystals - 1, 0))
        self._load()

    @property
    def structure(self) -> Structure | None:
        """The crystal of the frame shown."""
        return self.steps.structures[self.frame] if self.steps.structures else None

    @tl.validate("frame")
    def _within(self, proposal: Any) -> int:
        return int(min(proposal.value, max(self.num_frames - 1, 0)))

    def _load(self) -> None:
        if not self._trajectory:
            self.steps = TrajectorySteps([], [], [])
            self.set_trait("num_frames", 0)
            return
        if hasattr(self._trajectory[0], "crystals"):
            self.steps = TrajectorySteps.from_frames(self._trajectory, self.crystal, self._final)
        else:
            self.steps = TrajectorySteps.from_structures(self._trajectory)
        last = len(self.steps.structures) - 1
        self.set_trait("num_frames", last + 1)
        self._which.index = self.crystal
        if self._in_browser:
            self.viewer.show_frames(self.steps.structures, last)
        else:
            self.viewer.show(self.steps.structures[last], refine=not self._together)
        self.play.max = self.slider.max = last
        self.plot.show(curves_figure(self.steps, self._noun))
        self.plot.places = [float(step) for step in self.steps.steps]
        self.frame = last
        self._show_frame()

    @property
    def _in_browser(self) -> bool:
        return self._together and self.num_frames <= MOST

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
        if self._in_browser:
            self.viewer.show_frame(index, drawn=self._moved_there)
        else:
            one = self.steps.structures[index]
            self.viewer.show(one, refine=not self._together, keep_camera=True)
        where = f"{self._noun} {self.steps.steps[index]} of {self.steps.steps[-1]}"
        if self._noun == "step":
            where += f", noise {100 * self.steps.noise_levels[index]:.0f} %"
        self.position.value = where

    def _on_click(self, change: Any) -> None:
        step = change.new.get("x")
        if step is not None:
            steps = np.array(self.steps.steps)
            self.frame = int(np.abs(steps - float(step)).argmin())


def curves_figure(data: TrajectorySteps, noun: str = "step") -> go.Figure:
    """Return the curves of a trajectory, one below the other over the same steps."""
    curves = data.curves()
    figure = make_subplots(
        rows=len(curves),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.09,
        subplot_titles=[CURVES[key] for key in curves],
    )
    for i, (key, values) in enumerate(curves.items(), start=1):
        figure.add_trace(
            go.Scatter(
                x=data.steps,
                y=values,
                mode="lines+markers",
                marker={"size": 4},
                line={"width": 1.5},
                name=CURVES[key],
                hovertemplate=f"{noun} %{{x}}: %{{y:.3g}}<extra></extra>",
            ),
            row=i,
            col=1,
        )
    figure.update_annotations(font_size=11, x=0, xanchor="left")
    figure.update_yaxes(nticks=4, rangemode="tozero", tickfont_size=10)
    figure.update_xaxes(tickfont_size=10)
    figure.update_xaxes(
        title={"text": noun, "font_size": 11, "standoff": 4}, row=len(curves), col=1
    )
    figure.update_layout(
        showlegend=False, margin={"l": 40, "r": 8, "t": 20, "b": 36}, hovermode="x"
    )
    return figure
