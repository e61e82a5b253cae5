"""A matrix of results: guidance scale against steps, seeds or targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as ipw
import numpy as np
import traitlets as tl
from crystal_ldm.widgets.browser.plot import Plot
from crystal_ldm.widgets.controls.form import RequestForm
from crystal_ldm.widgets.controls.scalar import condition_title
from crystal_ldm.widgets.explore.grid_figure import MEASURES, Cell, cell_of, grid_figure
from crystal_ldm.widgets.explore.maker import MakerPanel
from crystal_ldm.widgets.jobs import Job
from crystal_ldm.widgets.layout import caption, column, labelled, row, show_if

from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.runs.generate import make_request
from crystal_ldm.sampling import keyword_call

WHOLE = {"sampling_steps": "Steps", "seed": "Seed"}
USUAL = {"sampling_steps": "5, 10, 20", "seed": "0, 1, 2"}
SCALES = "0, 1, 2, 4"


class GridPanel(MakerPanel):
    """Carries out a request once for each cell of a matrix: `GridPanel(ldm, form)`.

    Traits:
        ldm: see `MakerPanel`.
        scales: guidance scales, the columns: numbers between commas.
        along: what changes from row to row: "sampling_steps", "seed" or a condition's name.
        values: its values, between commas.
        num_samples: crystals in each cell.
        left, right: what the two matrices show, names of `grid_figure.MEASURES`; with a target
            gap the distance to it takes the place of the space group.
        opened: (row, column) of the cell whose crystals are shown, or None.
    """

    scales = tl.Unicode(SCALES)
    along = tl.Unicode("sampling_steps")
    values = tl.Unicode(USUAL["sampling_steps"])
    num_samples = tl.Int(4, min=1, max=64)
    left = tl.Enum(list(MEASURES), default_value="group")
    right = tl.Enum(list(MEASURES), default_value="valid")
    opened: tl.TraitType[Any, Any] = tl.Tuple(
        tl.Int(), tl.Int(), default_value=None, allow_none=True
    )

    def __init__(self, ldm: LDMModule, form: Callable[[], RequestForm]) -> None:
        super().__init__(ldm, height=260, empty="Click a cell to see its crystals.")
        self._form = form
        self.cells: dict[tuple[int, int], Cell] = {}
        self._axes: tuple[list[float], list[float], str] = ([], [], "")
        scalars = {
            name: condition_title(about)[0]
            for name, condition in ldm.conditions.items()
            if (about := condition.describe())["kind"] == "scalar"
        }
        self._labels = {**WHOLE, **scalars}
        along = ipw.Dropdown(options=[(text, name) for name, text in self._labels.items()])
        self.linked("along", along, "cl-short")
        texts = {n: self.linked(n, ipw.Text(), "cl-fill") for n in ("scales", "values")}
        measures = [(text, key) for key, text in MEASURES.items()]
        self._choices = row(
            *(labelled(text, self.linked(name, ipw.Dropdown(options=measures)))
              for name, text in (("left", "Left matrix"), ("right", "Right matrix")))
        )  # fmt: skip
        self.go = self.button("Fill the grid", self.run, css="cl-fill-grid", icon="th")
        self.halt = self.job.stop_button(icon="stop")
        self.plot = Plot(height=300, tools=False)
        show_if(False, self.plot, self._choices)  # until there is something to show
        self.widget = column(
            caption(
                "The request of the form, once for each cell; the form's own value is replaced."
            ),
            labelled("Guidance scales", texts["scales"]),
            labelled("Against", along, texts["values"]),
            self.number("num_samples", "In each cell", self.go, self.halt),
            self.notice.widget,
            self._choices,
            self.plot,
            self.player.widget,
            css="cl-grid-panel",
        )
        self.observe(lambda change: self._suggest(change.new), "along")
        self.react("opened", self._open)
        self.react(["left", "right"], self._draw)
        self.plot.observe(self.notice.guard(self._on_click), "clicked")
        self.job.tell(self.notice, buttons=[self.go], why="The grid is being filled.")

    def run(self) -> None:
        """Fill the grid in the background.

        Raises:
            CrystalLDMError: a value cannot be read, or the model cannot make it.
        """
        if self.job.busy:
            return
        scales, values = _numbers(self.scales), _numbers(self.values)
        form, along = self._form(), self.along
        base = keyword_call(form.settings())
        plan = []
        for i, value in enumerate(values):
            arguments = form.arguments()
            keywords = dict(base)
            if along in WHOLE:
                keywords[along] = value
            else:
                arguments["conditions"][along] = value
            request = make_request(**arguments)
            for j, scale in enumerate(scales):
                how = {**keywords, "cfg_scale": scale}
                self.ldm.iter_sample(request, self.num_samples, **how)  # checks it all
                plan.append(((i, j), request, how))
        self.cells, self._axes = {}, (scales, values, self._labels[along])
        if "band_gap" in arguments["conditions"] and self.left == "group":
            self.left = "gap"
        self.opened = None
        count = self.num_samples

        def work(job: Job) -> None:
            for done, (place, request, how) in enumerate(plan):
                if job.stop_event.is_set():
                    break
                job.message = f"{done} of {len(plan)} cells are filled."
                self.cells[place] = cell_of(self.ldm.sample(request, count, **how))
                self._draw()
            every = [entry for cell in self.cells.values() for entry in cell.crystals]
            self.on_made.tell(every)
            job.message = f"All {len(plan)} cells are filled: click one."
            if job.stop_event.is_set():
                job.message = f"Stopped: {len(self.cells)} cells are filled and kept."

        self.job.start(work)

    def _draw(self) -> None:
        if self.cells:
            show_if(True, self.plot, self._choices)
            measures = self.left, self.right
            self.plot.show(grid_figure(self.cells, *self._axes, self.opened, measures))

    def _open(self) -> None:
        cell = None if self.opened is None else self.cells.get(self.opened)
        self.player.show_structures([] if cell is None else [m.structure for m in cell.crystals])
        self._draw()

    def _on_click(self, change: Any) -> None:
        if (place := tuple(change.new["point"])) in self.cells:  # else it is not filled yet
            self.opened = place

    def _suggest(self, along: str) -> None:
        if along in USUAL:
            self.values = USUAL[along]
        else:
            about = self.ldm.conditions[along].describe()
            low, high = float(about["min"]), float(about["max"])
            self.values = ", ".join(f"{low + (high - low) * k / 8:.3g}" for k in range(4))


def _numbers(text: str) -> list[float]:
    try:
        parts = text.replace(";", ",").split(",")
        found = list(dict.fromkeys(float(part) for part in parts if part.strip()))
    except ValueError:
        found = []
    if not 1 <= len(found) <= 12 or not np.isfinite(found).all():
        raise RequestError(f"'{text}' should be 1 to 12 numbers between commas, such as 1, 2, 4.")
    return found
