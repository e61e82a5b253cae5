"""The folded part of the form: sampler, steps and what else rarely changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Panel, caption, column, labelled

from crystal_ldm.recipe import BEFORE_OPTIONS

SAMPLERS = ("ddim", "ddpm", "dpm_solver++")
AUTO = 0
"""The batch size that stands for \"auto\"."""
DEFAULTS: dict[str, Any] = {
    "sampler": "ddim",
    "sampling_steps": 5,
    "eta": 0.0,
    "cfg_interval": (0.0, 1.0),
    "temperature": 1.0,
    "composition_temperature": 1.0,
    "min_distance": 0.5,
    "band_gap_tolerance": 0.0,
    "new_formulas": False,
    "relative_distance": 0.0,
    "new_crystals": False,
    "template_strength": 0.0,
    "template_share": 1.0,
    "templates": 8,
    "max_attempts": 5,
    "precision": "float32",
    "device": "auto",
    "batch_size": AUTO,
}
AS_BEFORE: dict[str, Any] = {
    name: BEFORE_OPTIONS.get(name, DEFAULTS[name])
    for name in (
        "min_distance",
        "band_gap_tolerance",
        "composition_temperature",
        "new_formulas",
        "relative_distance",
        "new_crystals",
        "template_strength",
        "template_share",
        "templates",
    )
}
"""What a recipe that does not name these options was made with: it is older than they are."""


class AdvancedControls(Panel):
    """Sampler options: `AdvancedControls()`.

    Traits:
        sampler: name of the sampler.
        sampling_steps: denoising steps, 1 to 1000.
        eta: DDIM's noise, 0 (none) to 1 (as DDPM); other samplers do not have it.
        cfg_interval: the part of the diffusion time in which guidance acts, as two fractions.
        temperature: factor on the standard deviation of all noise drawn.
        composition_temperature: below 1 elements left open become more usual compositions.
        min_distance: crystals with two atoms closer than this, Å, are made again; 0: never.
        band_gap_tolerance: crystals predicted farther than this from their band gap, eV, are made
            again; 0: never.
        new_formulas: whether elements left open are drawn until the formula is none of the training
            part's.
        relative_distance: above 0 such elements are drawn until a known formula is as near.
        new_crystals: whether crystals of the training part are made again.
        template_strength: above 0 crystals start from the training crystal of a similar formula;
            the share of the diffusion time that its latents are noised for.
        template_share: the share of a formula's crystals that start so; the others from noise.
        templates: how many such crystals take turns.
        max_attempts: how often a crystal is made again.
        precision: "float32" or "bfloat16".
        device: "auto" (see `crystal_ldm.nn.device`), "cpu" or a GPU that torch sees.
        batch_size: crystals made at once; 0: as many as is quickest.
    """

    sampler = tl.Unicode(DEFAULTS["sampler"])
    sampling_steps = tl.Int(DEFAULTS["sampling_steps"], min=1, max=1000)
    eta = tl.Float(DEFAULTS["eta"], min=0, max=1)
    cfg_interval = tl.Tuple(tl.Float(), tl.Float(), default_value=DEFAULTS["cfg_interval"])
    temperature = tl.Float(DEFAULTS["temperature"], min=0, max=10)
    composition_temperature = tl.Float(DEFAULTS["composition_temperature"], min=0, max=10)
    min_distance = tl.Float(DEFAULTS["min_distance"], min=0, max=3)
    band_gap_tolerance = tl.Float(DEFAULTS["band_gap_tolerance"], min=0, max=10)
    new_formulas = tl.Bool(DEFAULTS["new_formulas"])
    relative_distance = tl.Float(DEFAULTS["relative_distance"], min=0, max=10)
    new_crystals = tl.Bool(DEFAULTS["new_crystals"])
    template_strength = tl.Float(DEFAULTS["template_strength"], min=0, max=1)
    template_share = tl.Float(DEFAULTS["template_share"], min=0, max=1)
    templates = tl.Int(DEFAULTS["templates"], min=1, max=1000)
    max_attempts = tl.Int(DEFAULTS["max_attempts"], min=1, max=1000)
    precision = tl.Unicode(DEFAULTS["precision"])
    device = tl.Unicode(DEFAULTS["device"])
    batch_size = tl.Int(DEFAULTS["batch_size"], min=0, max=4096)

    def __init__(
        self, samplers: Sequence[str] = SAMPLERS, devices: Sequence[str] = ("auto", "cpu")
    ) -> None:
        super().__init__()
        fill = {"readout_format": ".2f", "step": 0.05}
        eta = ipw.FloatSlider(min=0, max=1, **fill)
        controls: dict[str, Any] = {
            "sampler": ipw.Dropdown(options=list(samplers)),
            "sampling_steps": ipw.BoundedIntText(min=1, max=1000),
            "eta": eta,
            "cfg_interval": ipw.FloatRangeSlider(min=0, max=1, **fill),
            "temperature": ipw.BoundedFloatText(min=0, max=10, step=0.1),
            "composition_temperature": ipw.BoundedFloatText(min=0, max=10, step=0.05),
            "min_distance": ipw.BoundedFloatText(min=0, max=3, step=0.1),
            "band_gap_tolerance": ipw.BoundedFloatText(min=0, max=10, step=0.1),
            "new_formulas": ipw.Checkbox(indent=False),
            "relative_distance": ipw.BoundedFloatText(min=0, max=10, step=0.1),
            "new_crystals": ipw.Checkbox(indent=False),
            "template_strength": ipw.FloatSlider(min=0, max=1, **fill),
            "template_share": ipw.FloatSlider(min=0, max=1, **fill),
            "templates": ipw.BoundedIntText(min=1, max=1000),
            "max_attempts": ipw.BoundedIntText(min=1, max=1000),
            "precision": ipw.Dropdown(options=["float32", "bfloat16"]),
            "device": ipw.Dropdown(options=list(devices)),
            "batch_size": ipw.BoundedIntText(min=0, max=4096),
        }
        texts = {
            "sampler": ("Sampler", "How the noise is taken away"),
            "sampling_steps": ("Steps", "Denoising steps"),
            "eta": ("Eta", "Noise added back at each DDIM step; 0 makes it deterministic"),
            "cfg_interval": ("Guidance acts", "Part of the diffusion time, 0 = clean, 1 = noise"),
            "temperature": (
                "Temperature",
                "Factor on all noise drawn; below 1: less variety; 0: the most typical crystal",
            ),
            "composition_temperature": (
                "Formula temperature",
                "For elements left open; below 1: more usual formulas, and fewer",
            ),
            "min_distance": (
                "Shortest distance, Å",
                "Crystals with two atoms closer than this are made again; 0: they are kept",
            ),
            "band_gap_tolerance": (
                "Gap within, eV",
                "Crystals predicted farther from the gap asked for are made again; 0: kept",
            ),
            "new_formulas": (
                "New formulas only",
                "Elements left open are drawn until the model was not trained on the formula",
            ),
            "relative_distance": (
                "Formulas within",
                "Elements left open are drawn until a known formula is this near (0.5: plausible "
                "ones); 0: any",
            ),
            "new_crystals": (
                "New crystals only",
                "Crystals that the model was trained on are made again",
            ),
            "template_strength": (
                "Template noise",
                "0: start from noise; else from a known crystal of a similar formula, noised for "
                "this share of the time (0.3: most accurate)",
            ),
            "template_share": (
                "From templates",
                "The share of a formula's crystals that start from a known one; the others from "
                "noise",
            ),
            "templates": ("Templates", "How many known crystals take turns"),
            "max_attempts": ("Attempts", "How often a crystal that is not right is made again"),
            "precision": ("Precision", "float32 is the reference; the recipe records the choice"),
            "device": ("Device", "Where the model runs; auto: on the GPU where there is one"),
            "batch_size": (
                "Batch size",
                "Crystals made at once, 0: as is quickest; it changes nothing else",
            ),
        }
        why = caption("Only DDIM has it; the others use none.")
        rows = []
        for name, control in controls.items():
            tl.link((self, name), (control, "value"))
            control.add_class("cl-fill" if "Slider" in type(control).__name__ else "cl-short")
            extra = [why] if name == "eta" else []
            rows.append(labelled(texts[name][0], control, *extra, tip=texts[name][1]))

        def limit(_: Any = None) -> None:
            eta.disabled = self.sampler != "ddim"
            why.layout.display = "none" if self.sampler == "ddim" else None

        self.observe(limit, "sampler")
        limit()
        self.widget = column(*rows, css="cl-advanced")

    def values(self) -> dict[str, Any]:
        """Return all options by name, as `LDMModule.sample` takes them, and `device`."""
        found = {name: getattr(self, name) for name in DEFAULTS}
        found["batch_size"] = self.batch_size or "auto"
        if self.sampler != "ddim":
            found["eta"] = 0.0
        return found

    def set_values(self, options: Mapping[str, Any]) -> None:
        """Take over those of `options` that belong here."""
        with self.hold_trait_notifications():
            for name in DEFAULTS:
                if name in options:
                    value = options[name]
                    if name == "cfg_interval":
                        value = tuple(float(v) for v in value)
                    setattr(self, name, AUTO if value == "auto" else value)
