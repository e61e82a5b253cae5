"""One NGLWidget that shows one crystal after the other."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import ipywidgets as ipw
import traitlets as tl

from widgets.browser.probe import Probe
from widgets.viewers.elements import drawn_radius, element_colour
from widgets.viewers.scene import Scene
from widgets.viewers.sdf import scene_to_sdf

STICK = 0.11
"""Å, radius of a drawn bond."""


@cache
def _script() -> str:
    return Path(__file__).with_name("ngl_stage.js").read_text(encoding="utf-8")


def crystal_message(scene: Scene, labels: dict[int, str] | None, camera: str) -> dict[str, Any]:
    """Return what the browser needs to draw `scene`: the SDF and one colour and radius an atom."""
    colours = [int(element_colour(symbol)[1:], 16) for symbol in scene.symbols]
    stub_colours = [colours[atom] for atom in scene.stub_atoms]
    first_corner = len(scene) + len(scene.stubs)
    first_tip = first_corner + 8 * len(scene.boxes)
    return {
        "sdf": scene_to_sdf(scene),
        "atoms": len(scene),
        "stubs": len(scene.stubs),
        "total": first_tip,
        "colours": colours + stub_colours,
        "radii": {i: drawn_radius(symbol) for i, symbol in enumerate(scene.symbols)},
        "stick": STICK,
        "labels": labels,
        "axes": {first_tip + k: axis for k, axis in enumerate("abc")},
        "camera": camera,
    }


class NGLStage(tl.HasTraits):
    """A reused NGLWidget and the probe that tells whether the browser can show it.

    Every NGLWidget keeps two threads alive for good, so a panel makes one and changes its crystal.

    Traits:
        status: "waiting" until the browser has answered, then "ready", "no-webgl" (the browser
            cannot draw in three dimensions) or "no-extension" (nglview's part of JupyterLab is
            not there).
        message: the last crystal sent, as a dict; empty before the first.
    """

    status = tl.Enum(["waiting", "ready", "no-webgl", "no-extension"], default_value="waiting")
    message = tl.Dict()

    def __init__(self, height: int = 380) -> None:
        super().__init__()
        import nglview

        self._view = nglview.NGLWidget(height=f"{height}px", width="100%")
        self._view.layout = ipw.Layout(width="100%", height=f"{height}px")
        self._view.add_class("cl-ngl")
        self._probe = Probe(target="cl-ngl")
        self._probe.on_msg(self._on_probe)
        self._ticket = 0
        self.widget = ipw.VBox(
            [self._view, self._probe], layout=ipw.Layout(width="100%", overflow="hidden")
        )

    def show(
        self, scene: Scene, labels: dict[int, str] | None = None, camera: str = "reset"
    ) -> None:
        """Draw `scene` in place of what is shown.

        Args:
            camera: "keep" leaves it, "fit" only fits the crystal, "reset" turns it to the
                standard view as well.
        """
        self._ticket += 1
        self.message = {**crystal_message(scene, labels, camera), "ticket": self._ticket}
        self._call("showCrystal", self.message)

    def look_along(self, towards: list[float], up: list[float]) -> None:
        """Turn the camera to look against `towards` with `up` upwards, and fit the crystal."""
        self._call("lookAlong", {"vectors": [towards, up]})

    def reset_camera(self) -> None:
        """Turn to the standard view and fit the crystal."""
        self._call("lookAlong", "standard")

    def download_png(self, name: str) -> None:
        """Make the browser save what is shown as a PNG."""
        self._view.download_image(filename=name, factor=2, trim=True)

    def close(self) -> None:
        """Close the widget's models; nglview's two threads remain."""
        self._view.close()
        self._probe.close()

    def _call(self, method: str, argument: Any) -> None:
        # Sent past nglview's queue, which polls every 0.1 s and archives each message.
        if self.status == "ready":
            self._view.send(self._message(method, argument))

    def _message(self, method: str, argument: Any) -> dict[str, Any]:
        return {
            "type": "call_method",
            "target": "Widget",
            "methodName": method,
            "args": [argument],
            "kwargs": {},
        }

    def _on_probe(self, _: Any, content: dict[str, Any], __: Any) -> None:
        status = content.get("status")
        if status == "ready":
            # Each new view of the notebook (a reload, a second view) starts empty.
            self._view.send(self._message("executeCode", _script()))
            if self.message:
                self._view.send(self._message("showCrystal", {**self.message, "camera": "reset"}))
        if status in ("ready", "no-webgl", "no-extension"):
            self.status = status
