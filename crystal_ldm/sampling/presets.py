"""Presets: what a person wants, as checked settings with the reason for them.

Each is a YAML file in `configs/sampling` with `title`, `sentence`, `settings` and, where it is not
1, `formula_units`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from crystal_ldm.config import CONFIG_DIR
from crystal_ldm.config.numbers import short
from crystal_ldm.errors import RequestError, suggest

DEFAULT_PRESET = "explore"
_FOLDER = CONFIG_DIR / "sampling"


@dataclass(frozen=True)
class Preset:
    """A preset.

    Attributes:
        name: what it is called.
        title: the same for people.
        sentence: what it is for.
        settings: plain data of `SamplingSettings.from_dict`.
        formula_units: of a formula for which nobody gives them: 1, or `likely`.
    """

    name: str
    title: str
    sentence: str
    settings: dict[str, Any]
    formula_units: int | str = 1


@cache
def presets() -> dict[str, Preset]:
    """Return all presets by name, the default one first."""
    names = sorted(path.stem for path in _FOLDER.glob("*.yaml"))
    names.sort(key=lambda name: name != DEFAULT_PRESET)
    texts = {name: (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8") for name in names}
    return {name: Preset(name, **yaml.safe_load(text)) for name, text in texts.items()}


def get_preset(name: Any) -> Preset:
    """Return a preset.

    Raises:
        RequestError: if there is none of that name.
    """
    if not isinstance(name, str) or name not in presets():
        raise RequestError(
            f"There is no preset {short(name)}.{suggest(str(name), presets())} "
            f"The presets are {', '.join(presets())}."
        )
    return presets()[name]
