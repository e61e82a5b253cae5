"""A training as it goes: its curves, what it makes by now, and Stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import traitlets as tl
from crystal_ldm.widgets.base import Panel
from crystal_ldm.widgets.browser.buttons import StopButton
from crystal_ldm.widgets.browser.plot import Plot
from crystal_ldm.widgets.figures.theme import BLUE, ORANGE
from crystal_ldm.widgets.figures.training import curve
from crystal_ldm.widgets.jobs import INTERVAL, Throttle, duration
from crystal_ldm.widgets.layout import caption, column, row
from crystal_ldm.widgets.viewers.viewer import CrystalViewer
from plotly.subplots import make_subplots
from pymatgen.core import Structure

from crystal_ldm.training import read_metrics

FIRST = 15.0
"""Seconds until the first preview; a short training should show one too."""
CURVES = {
    "loss": "Loss (dots: validation set)",
    "learning_rate": "Learning rate",
    "gradient_norm": "Gradient norm",
    "crystals_per_second": "Crystals per second",
}


class TrainingMonitor(Panel):
    """Watches a training: `TrainingMonitor("runs/my_ldm")`.

    In the process that trains: `fit(..., live=monitor.live, stop=monitor.stop_event)`.

    While a cell trains, its kernel hears no widget: Stop also interrupts it, as the toolbar's ■
    does. The cell should answer SIGINT with `monitor.stop()`.

    Traits:
        step: the last step seen; read-only.
    """

    step = tl.Int(0, read_only=True)

    def __init__(
        self,
        run_dir: str | Path = "",
        *,
        preview: Callable[[], Structure] | None = None,
        preview_minutes: float = 2.0,
        max_steps: int | None = None,
    ) -> None:
        super().__init__()
        self.stop_event = threading.Event()
        self._preview: Any = preview
        self._between = 60 * preview_minutes
        self.preview_at = time.monotonic() - self._between + min(self._between, FIRST)
        self._max_steps = max_steps
        self._throttle = Throttle(5 * INTERVAL)
        self._lines: list[dict[str, float]] = []
        self.plot = Plot(height=380)
        self.plot.add_class("cl-training")
        self.status = caption("No step yet.")
        self.halt = StopButton(self.notice.guard(self.stop), text="Stop and save")
        parts: list[Any] = [self.plot]
        self.viewer: CrystalViewer | None = None
        if preview is not None:
            self.viewer = CrystalViewer(height=260)
            self.viewer.title = "A crystal of this model is shown here soon."
            parts.append(self.viewer.widget)
        self.widget = column(
            row(self.status, self.halt, css="cl-bar"),
            row(*parts, css="cl-two"),
            self.notice.widget,
            css="cl-training-monitor",
        )
        if run_dir:
            self._lines = read_metrics(Path(run_dir) / "metrics.jsonl")
            self._show()

    def live(self, line: Mapping[str, float]) -> None:
        """Take one line of metrics; hand this to `fit` as `live`."""
        self._lines.append(dict(line))
        self.halt.enabled = not self.stop_event.is_set()
        if self._throttle.ready():
            self._show()
        if self.viewer is not None and time.monotonic() - self.preview_at >= self._between:
            self.preview_at = time.monotonic()
            self.notice.guard(self._show_preview)(self.viewer)

    def stop(self) -> None:
        """End the training after the current step; `fit` saves what it has."""
        self.stop_event.set()
        self.halt.enabled = False
        self.notice.say("Stopping: the run is saved and can be continued.")

    def end(self) -> None:
        """Show the last step; nothing is left to stop."""
        self.halt.enabled = False
        self.notice.clear()
        self._show()

    def _show(self) -> None:
        if not self._lines:
            return
        last = self._lines[-1]
        self.plot.show(metrics_figure(self._lines))
        self.set_trait("step", int(last["step"]))
        minutes = max((line.get("minutes", 0.0) for line in self._lines), default=0.0)
        whole = f" of {self._max_steps:,}" if self._max_steps else ""
        said = f"Step {self.step:,}{whole}, {duration(60 * minutes)} of training."
        compositions = next((x for x in reversed(self._lines) if "composition_epoch" in x), None)
        if compositions is not None:
            done, epochs = compositions["composition_epoch"], compositions["composition_epochs"]
            said += f" Composition model: epoch {done:,.0f} of {epochs:,.0f}."
        self.status.value = said

    def _show_preview(self, viewer: CrystalViewer) -> None:
        structure = self._preview()
        formula = structure.composition.reduced_formula
        viewer.title = f"{formula} at step {self._lines[-1]['step']:,.0f}"
        viewer.show(structure)


def metrics_figure(lines: Sequence[Mapping[str, float]]) -> go.Figure:
    """Return loss, learning rate, gradient norm and speed over the steps."""
    figure = make_subplots(
        rows=2, cols=2, subplot_titles=list(CURVES.values()), vertical_spacing=0.16
    )
    for k, (name, label) in enumerate(CURVES.items()):
        place = {"row": k // 2 + 1, "col": k % 2 + 1}
        figure.add_trace(curve(lines, name, label, color=BLUE, width=1.5), **place)
        if name == "loss":
            held_out = curve(lines, "val_loss", "validation set", color=ORANGE, width=1.5)
            figure.add_trace(held_out.update(mode="lines+markers"), **place)
            positive = all(line.get(key, 1) > 0 for line in lines for key in ("loss", "val_loss"))
            if positive:
                figure.update_yaxes(type="log", **place)
    figure.update_annotations(font_size=11)
    figure.update_xaxes(tickfont_size=10)
    figure.update_yaxes(tickfont_size=10, nticks=5)
    return figure.update_layout(
        showlegend=False, hovermode="x unified", uirevision="training",
        margin={"l": 48, "r": 8, "t": 24, "b": 28},
    )  # fmt: skip
