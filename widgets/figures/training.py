"""How a training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from widgets.figures.theme import BLUE, ORANGE, themed

_OTHER = ("step", "loss", "learning_rate", "gradient_norm", "crystals_per_second", "minutes")


def loss_figure(lines: Sequence[Mapping[str, float]], title: str = "Loss") -> go.Figure:
    """Return training and validation loss over steps; the loss's parts can be switched on.

    Args:
        lines: lines of `metrics.jsonl`, as `crystal_ldm.training.read_metrics` returns them.
        title: of the figure.
    """
    train = [line for line in lines if "loss" in line]
    held_out = [line for line in lines if "val_loss" in line]
    figure = go.Figure()
    figure.add_trace(_curve(train, "loss", "training part", color=BLUE, width=2))
    figure.add_trace(_curve(held_out, "val_loss", "choosing part", color=ORANGE, width=2))
    figure.data[1].mode = "lines+markers"
    if held_out:
        best = min(held_out, key=lambda line: line["val_loss"])
        figure.add_trace(
            go.Scatter(
                x=[best["step"]], y=[best["val_loss"]], mode="markers", name="best weights",
                marker={"symbol": "star", "size": 13, "color": ORANGE},
                hovertemplate="best: %{y:.4f} at step %{x:,}<extra></extra>",
            )
        )  # fmt: skip
    for name in sorted({key for line in train for key in line} - set(_OTHER)):
        part = _curve(train, name, name, width=1)
        part.visible = "legendonly"
        figure.add_trace(part)
    values = [line[key] for key, part in (("loss", train), ("val_loss", held_out)) for line in part]
    wide = bool(values) and 0 < 5 * min(values) < max(values)
    themed(figure, title, "step", "loss (log scale)" if wide else "loss", height=380)
    figure.update_layout(hovermode="x unified", uirevision="loss")
    if wide:
        figure.update_yaxes(type="log", dtick="D2", tickformat="~g")
    return figure


def _curve(lines: Sequence[Mapping[str, float]], key: str, name: str, **line: object) -> go.Scatter:
    return go.Scatter(
        x=[entry["step"] for entry in lines],
        y=[entry.get(key) for entry in lines],
        mode="lines" if len(lines) > 1 else "markers",
        name=name,
        line=line,
        hovertemplate="%{y:.4g}",
    )
