"""The seed: always shown, renewed or reused on purpose."""

from __future__ import annotations

import secrets

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Panel
from crystal_ldm.widgets.layout import column, row

LARGEST = 2**31 - 1


class SeedControl(Panel):
    """The seed of the next run: `SeedControl(seed=0)`.

    Traits:
        seed: 0 to 2^31 - 1.
        fresh: a new seed is drawn after each run, so that Generate makes other crystals.
        last: the seed of the last run, or None; read-only.
    """

    seed = tl.Int(0, min=0, max=LARGEST)
    fresh = tl.Bool(True)
    last = tl.Int(None, allow_none=True, read_only=True)

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        fresh = ipw.Checkbox(description="new each run", indent=False)
        self.linked("fresh", fresh, "cl-check")
        self.reuse_button = self.button(
            "Reuse last", self.reuse, tip="Nothing has run yet", css="cl-small"
        )
        self.reuse_button.disabled = True
        self.widget = column(
            self.number("seed", "Seed", self.button("New seed", self.renew, css="cl-small"),
                       css="cl-seed"),
            row(self.reuse_button, fresh, css="cl-indented"),
        )  # fmt: skip
        self.seed = seed

    def renew(self) -> None:
        """Draw another seed."""
        self.seed = secrets.randbelow(1_000_000)

    def reuse(self) -> None:
        """Take the last run's seed again and keep it."""
        if self.last is not None:
            self.fresh = False
            self.seed = self.last

    def use(self) -> int:
        """Return the seed for a run that starts now, and prepare the next one."""
        used = self.seed
        self.set_trait("last", used)
        self.reuse_button.disabled = False
        self.reuse_button.tooltip = f"Take seed {used} again"
        if self.fresh:
            self.renew()
        return used
