"""What the form shows when a workbench opens, and when a recipe is dropped on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crystal_ldm.widgets.panels.generate import GeneratePanel

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.sampling import SamplingSettings


def show_request(
    panel: GeneratePanel,
    recipe: Mapping[str, Any] | None,
    request: CrystalBatch | None,
    keywords: Mapping[str, Any] | None,
) -> None:
    """Show what was asked; the next run gets another seed, so that Generate makes more."""
    form = panel.form
    if recipe is not None:
        panel.notice.say(form.fill_recipe(recipe), "warning")
        form.seed.use()
    if request is not None:
        panel.notice.say(form.fill(request.to_request()), "warning")
    if keywords is not None:
        form.fill_settings(SamplingSettings.make(keywords))


def load_recipe(panel: GeneratePanel, recipe: Mapping[str, Any]) -> None:
    """Show a dropped recipe; Generate then gives exactly its crystals."""
    form = panel.form
    note = form.fill_recipe(recipe)
    form.seed.fresh = False
    if recipe["model_hash"] not in panel.ldm.hashes:
        note = f"Another model made it ({recipe['model']}): this one gives other crystals."
    panel.notice.say(note, "warning")
