"""The page of all settings, docs/settings.md: `python -m crystal_ldm.sampling.settings_page`."""

from __future__ import annotations

from collections.abc import Iterator

from crystal_ldm.sampling.filters import Filter
from crystal_ldm.sampling.presets import presets
from crystal_ldm.sampling.schema import Option, Settings
from crystal_ldm.sampling.settings import SamplingSettings, options
from crystal_ldm.sampling.starts import Start

HEAD = """# Settings of sampling

Written by `python -m crystal_ldm.sampling.settings_page`. A setting is a keyword of `ldm.sample`, a
parameter and an option of `04_sample` (`--sampling-steps 10`) and a field of the form. What stands
behind a dot is part of an object: in Python `start=Prototype(0.3)`, `filters=[MinDistance(0.7)]`,
in a shell `--start-prototype-strength 0.3`, `--filters-min-distance-limit 0.7`. A list of filters
is all of them; filters that are given by name change or join the preset's. The starts Crystal and
Host take structure files in a shell: `--crystals host.cif --start-host-rest Li`.
"""


def settings_page() -> str:
    """Return the page as Markdown."""
    return "\n".join([HEAD, *_presets(), *_starts_and_filters(), *_fields()]) + "\n"


def _presets() -> Iterator[str]:
    yield "## Presets\n\n| preset | for | what it sets |\n|---|---|---|"
    for preset in presets().values():
        settings = SamplingSettings.make({"preset": preset.name})
        solver, guidance = settings.solver, settings.guidance
        elements = settings.elements.model_dump(exclude_defaults=True)
        sets = [
            f"{solver.name}, {solver.steps} steps, temperature {solver.temperature:g}",
            f"guidance {guidance.scale:g}" if isinstance(guidance.scale, float) else "guidance",
            f"start {settings.start!r}",
            *([f"formula units {preset.formula_units}"] if preset.formula_units != 1 else []),
            *(f"elements.{name} {value:g}" for name, value in elements.items()),
            "filters " + ", ".join(repr(one) for one in settings.filters),
        ]
        yield f"| `{preset.name}` | {preset.sentence} | {'; '.join(sets)} |"
    yield ""


def _starts_and_filters() -> Iterator[str]:
    for title, family in (("Starts", Start), ("Filters", Filter)):
        yield f"## {title}\n\n| | |\n|---|---|"
        for kind in family.kinds().values():
            yield f"| `{kind.__name__}` | {kind.summary()} |"
        yield ""


def _fields() -> Iterator[str]:
    yield "## Every field\n\n| setting | default | values | |\n|---|---|---|---|"
    for one in options():
        has_objects = isinstance(one.default, Settings) or one.default in (None, ())
        default = "" if has_objects else f"`{one.default}`"
        unit = f" ({one.unit})" if one.unit else ""
        yield f"| `{one.path}` | {default} | {_values(one)} | {one.help}{unit} |"


def _values(one: Option) -> str:
    if one.choices:
        return ", ".join(one.choices)
    if one.low is not None and one.high is not None:
        return f"{one.low} to {one.high}"
    return {"flag": "true, false", "text": "name"}.get(one.type, "")


if __name__ == "__main__":
    print(settings_page(), end="")
