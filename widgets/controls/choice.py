"""Controls for conditions that are a category or a set of elements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Panel, column, labelled

from crystal_ldm.errors import RequestError, suggest


class CategoryControl(Panel):
    """Asks for one of several options.

    Traits:
        value: the option, or None where it is not asked for.
    """

    value = tl.Any(None, allow_none=True)
    problem = tl.Unicode("", read_only=True)

    def __init__(self, description: Mapping[str, Any], value: Any = None) -> None:
        super().__init__()
        self._about = description
        options = list(description.get("options") or ())
        # A dropdown shows nothing for the value None, so its places are linked, not its values.
        self.menu = ipw.Dropdown(options=["any", *(str(option) for option in options)], index=0)
        self.menu.add_class("cl-fill")
        self.widget = labelled(str(description.get("label") or description["name"]), self.menu)
        tl.link(
            (self, "value"),
            (self.menu, "index"),
            transform=(
                lambda option: 0 if option is None else options.index(option) + 1,
                lambda index: options[index - 1] if index else None,
            ),
        )
        self.value = value

    @tl.validate("value")
    def _known(self, proposal: Any) -> Any:
        options = list(self._about.get("options") or ())
        if proposal.value is not None and proposal.value not in options:
            name = self._about.get("label") or self._about["name"]
            near = suggest(str(proposal.value), [str(o) for o in options])
            raise RequestError(f"{name} has no option {proposal.value!r}.{near}")
        return proposal.value


class ElementSetControl(Panel):
    """Asks for a set of elements, typed as "Sr, Ti, O".

    Traits:
        value: "Sr, Ti, O", or None where it is not asked for; a list of symbols is taken as well.
        problem: why the text cannot be used; empty if it can. Read-only.
    """

    value = tl.Any(None, allow_none=True)
    problem = tl.Unicode("", read_only=True)

    def __init__(
        self,
        description: Mapping[str, Any],
        value: Iterable[str] | str | None = None,
        elements: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self._elements = list(description.get("options") or elements)
        self.box = ipw.Text(placeholder="any, or Sr, Ti, O", continuous_update=True)
        self.box.add_class("cl-fill")
        self.widget = column(
            labelled(str(description.get("label") or description["name"]), self.box),
            self.notice.widget,
        )
        self.box.observe(self.notice.guard(self._read), "value")
        self.observe(self.notice.guard(self._write), "value")
        self.value = value

    @tl.validate("value")
    def _as_text(self, proposal: Any) -> str | None:
        # Not a list: that would be one value for each row of a request.
        return ", ".join(_symbols(proposal.value)) or None

    def _read(self, change: Any) -> None:
        symbols = _symbols(change.new)
        unknown = [s for s in symbols if self._elements and s not in self._elements]
        if unknown:
            near = suggest(unknown[0], self._elements)
            self.set_trait("problem", f"The model does not know {', '.join(unknown)}.{near}")
            self.notice.say(self.problem, "error")
            return
        self.set_trait("problem", "")
        self.notice.clear()
        self.value = symbols

    def _write(self, change: Any) -> None:
        if _symbols(self.box.value) != _symbols(change.new):
            self.box.value = change.new or ""


def _symbols(value: Iterable[str] | str | None) -> list[str]:
    """Return the symbols in a list, or in a text such as "Sr, Ti" or "Sr-Ti"."""
    if isinstance(value, str):
        return value.replace(",", " ").replace("-", " ").split()
    return list(value or ())
