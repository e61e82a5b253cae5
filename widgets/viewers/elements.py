"""Colours and radii by which the viewers show an element."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

from crystal_ldm.crystals.geometry.bonds import covalent_radius

UNKNOWN_COLOUR = "#9a9a9a"

COLOURS = ("Soft", "VESTA", "Jmol")
"""Colour schemes. Soft is VESTA's with its neon tones calmed, see `Look.colour`."""

STYLES = ("Ball and stick", "Space filling")
"""Ways to draw atoms: at 0.4 covalent radii with their bonds, or at whole covalent radii, so that
bonded atoms touch and no bonds are seen."""

_SHARE = {"Ball and stick": 0.4, "Space filling": 1.0}


@dataclass(frozen=True)
class Look:
    """How atoms are drawn: one of `COLOURS`, one of `STYLES`, with or without their symbols."""

    colours: str = COLOURS[0]
    style: str = STYLES[0]
    labels: bool = False

    def colour(self, symbol: str) -> str:
        """Return the colour of an element as "#rrggbb".

        Soft is VESTA's palette, which the field knows, with its neon tones calmed: saturation at
        most 0.6, lightness between 0.38 and 0.74, so that every colour stands out on white and on
        black.
        """
        from pymatgen.vis.structure_vtk import EL_COLORS

        calm = self.colours == COLOURS[0]
        rgb = EL_COLORS["VESTA" if calm else self.colours].get(symbol)
        if rgb is None:
            return UNKNOWN_COLOUR
        if calm:
            hue, lightness, saturation = colorsys.rgb_to_hls(*(value / 255 for value in rgb))
            lightness, saturation = min(max(lightness, 0.38), 0.74), min(saturation, 0.6)
            tones = colorsys.hls_to_rgb(hue, lightness, saturation)
            rgb = tuple(round(255 * value) for value in tones)
        return "#" + "".join(f"{value:02x}" for value in rgb)

    def radius(self, symbol: str) -> float:
        """Return the radius in Å of the ball that stands for an atom."""
        return _SHARE[self.style] * covalent_radius(symbol)


LOOK = Look()
"""The usual look."""


def ink_on(colour: str) -> str:
    """Return black or white, whichever reads better on `colour` (WCAG relative luminance)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"
