"""Colours and radii by which the viewers show an element."""

from __future__ import annotations

import colorsys
from functools import cache

UNKNOWN_COLOUR = "#9a9a9a"


@cache
def _palette() -> dict[str, tuple[int, int, int]]:
    from importlib.resources import files

    import yaml

    text = (files("pymatgen.core") / "ElementColorSchemes.yaml").read_text(encoding="utf-8")
    scheme = yaml.safe_load(text)["VESTA"]
    return {symbol: tuple(rgb) for symbol, rgb in scheme.items()}


@cache
def element_colour(symbol: str) -> str:
    """Return the colour of an element as "#rrggbb".

    VESTA's palette, which the field knows, with its neon tones calmed: saturation at most 0.6,
    lightness between 0.38 and 0.74, so that every colour stands out on white and on black.
    """
    rgb = _palette().get(symbol)
    if rgb is None:
        return UNKNOWN_COLOUR
    hue, lightness, saturation = colorsys.rgb_to_hls(*(value / 255 for value in rgb))
    lightness = min(max(lightness, 0.38), 0.74)
    calm = colorsys.hls_to_rgb(hue, lightness, min(saturation, 0.6))
    return "#" + "".join(f"{round(255 * value):02x}" for value in calm)


@cache
def covalent_radius(symbol: str) -> float:
    """Return the covalent radius in Å (Cordero et al., Dalton Trans. 2008, 2832), or 1.5."""
    from ase.data import atomic_numbers, covalent_radii

    number = atomic_numbers.get(symbol)
    if number is None or covalent_radii[number] <= 0.2:  # 0.2 is ASE's sign for "not known"
        return 1.5
    return float(covalent_radii[number])


def drawn_radius(symbol: str) -> float:
    """Return the radius in Å of the ball that stands for an atom: 0.4 of the covalent one."""
    return 0.4 * covalent_radius(symbol)


def ink_on(colour: str) -> str:
    """Return black or white, whichever reads better on `colour` (WCAG relative luminance)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"
