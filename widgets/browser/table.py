"""A table that is sorted and filtered in Python and shown in the browser."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import traitlets as tl
from crystal_ldm.widgets.browser.table_filter import filter_rows
from crystal_ldm.widgets.browser.widget import BrowserWidget, code


class Table(BrowserWidget):
    """Rows that can be sorted, filtered and selected, with mouse or arrow keys.

    Traits:
        columns: list of {"key", "label", "unit", "tip", "digits"}, in the order shown.
        rows: list of numbers, texts, True/False or None by the key of their column; of other keys
            nothing is shown.
        order: indices of the rows shown, in order; follows from the next three.
        sort_by: key of the column to sort by; empty keeps the order of making.
        descending: whether the largest come first; None values are last in any case.
        filter: terms joined by commas: a text that some cell contains, or `gap > 1.5`.
        problem: why a term of the filter finds nothing, one sentence; empty if it can. Read-only.
        selected: index of the selected row, or None.
        checked: indices of the rows that are chosen for a download or a relaxation.
        hidden: keys of columns that are not shown; they can be filtered by all the same.
        parents: for each row the index of the row that it belongs below, or None.
        groups: for each row the index of the first row of the same crystal; empty: not known.
        folded: whether of the rows of one group only the first is shown, with their number.
        marks: what is shown before or behind a row's first cell, by index as text: {"count": 14} of
            a folded group, {"child": True} below a parent; follows from the others.
        height: px.
    """

    _esm = code(__file__, "table.js")
    _css = Path(__file__).with_name("table.css")

    columns: tl.List[dict[str, Any]] = tl.List().tag(sync=True)
    rows: tl.List[dict[str, Any]] = tl.List().tag(sync=True)
    order = tl.List(tl.Int()).tag(sync=True)
    sort_by = tl.Unicode("").tag(sync=True)
    descending = tl.Bool(False).tag(sync=True)
    filter = tl.Unicode("").tag(sync=True)
    selected = tl.Int(None, allow_none=True).tag(sync=True)
    checked = tl.List(tl.Int()).tag(sync=True)
    hidden = tl.List(tl.Unicode()).tag(sync=True)
    parents: tl.List[int | None] = tl.List(tl.Int(allow_none=True))
    groups = tl.List(tl.Int())
    folded = tl.Bool(False)
    marks: tl.Dict[str, dict[str, Any]] = tl.Dict().tag(sync=True)
    height = tl.Int(260).tag(sync=True)
    problem = tl.Unicode("", read_only=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        sources = "rows columns sort_by descending filter parents groups folded"
        self.observe(self._arrange, sources.split())
        self._arrange()

    @property
    def chosen(self) -> list[int]:
        """The checked rows in the table's order; without any, all that are shown."""
        checked = set(self.checked)
        hidden = sorted(checked.difference(self.order))  # checked, then filtered away
        return [i for i in self.order if i in checked] + hidden or list(self.order)

    def _arrange(self, _: Any = None) -> None:
        keep, problem = filter_rows(self.filter, self.columns, self.rows)
        self.set_trait("problem", problem)
        values = [row.get(self.sort_by) for row in self.rows]
        known = [i for i in keep if values[i] is not None]
        known.sort(key=lambda i: _sort_key(values[i]), reverse=self.descending)
        keep = [*known, *(i for i in keep if values[i] is None)]
        order, marks = self._nested(keep)
        with self.hold_sync():
            self.marks = marks
            self.order = order

    def _nested(self, order: list[int]) -> tuple[list[int], dict[str, dict[str, Any]]]:
        """Return one row of each group, each child after its parent if that is shown; and marks."""
        parents = dict(enumerate(self.parents))
        folded = self.folded and len(self.groups) == len(self.rows)
        groups = self.groups if folded else range(len(self.rows))
        stands_for: dict[int, int] = {}

        def first(i: int) -> int:  # a child stands for itself: it is looked at beside its parent
            return i if parents.get(i) is not None else stands_for.setdefault(groups[i], i)

        counts = Counter(map(first, order))
        marks: dict[str, dict[str, Any]] = {
            str(i): {"count": n} for i, n in counts.items() if n > 1
        }
        below: dict[int | None, list[int]] = defaultdict(list)
        for i in counts:
            parent = parents.get(i)
            if parent is not None:
                parent = stands_for.get(groups[parent], parent)
            below[parent if parent in counts else None].append(i)
        arranged: list[int] = []
        stack = below.pop(None, [])[::-1]
        while stack:
            arranged.append(stack.pop())
            stack += reversed(below.get(arranged[-1], []))
        for i in (child for some in below.values() for child in some):
            marks.setdefault(str(i), {})["child"] = True
        return arranged, marks


def _sort_key(value: Any) -> tuple[int, Any]:
    return (1, value.lower()) if isinstance(value, str) else (0, value)
