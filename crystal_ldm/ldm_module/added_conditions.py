"""Conditions that are added to a trained model, and which weights a further training changes.

A new condition acts through layers that start at zero, so the model makes the crystals that it made
before. Trained alone, they leave it the old model wherever the condition is not given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from crystal_ldm.errors import ConfigError
from crystal_ldm.ldm_module.condition import Condition
from crystal_ldm.nn.average import running_average

if TYPE_CHECKING:
    from crystal_ldm.ldm_module.latent_model import LatentModel

_OF_WEIGHTS = ("earlier_hashes", "hashes_before_calibration")
"""What a model's file says of models whose crystals it makes."""


def add_conditions(ldm: LatentModel, conditions: Mapping[str, Condition]) -> None:
    """Give a model further conditions, untrained; `extend_data` looks up their values.

    Args:
        ldm: the model. Denoiser and composition model get embeddings that start at zero.
        conditions: by name, each with an `adapter` of at least 1 unless it starts at zero.

    Raises:
        ConfigError: if one has no adapter, or a name that cannot be had.
    """
    hashes = list(ldm.hashes)
    for name, condition in conditions.items():
        if condition.adapter < 1 and not condition.starts_at_zero:
            raise ConfigError(
                f"The condition '{name}' is added to a trained model: give it an adapter, for "
                "example `adapter: 32`."
            )
        ldm.network.add_condition(name, condition)
    if ldm.composition_model is not None:
        ldm.composition_model.build(conditions)
        ldm.composition_model.requires_grad_(False)
    ldm.network.load_state_dict(ldm.sampler_network.state_dict(), strict=False)
    ldm.ema = running_average(ldm.network, ldm.ema_decay)
    ldm.added = (*ldm.added, *conditions)
    ldm.data_info = {**ldm.data_info, "earlier_hashes": hashes}
    ldm.forget_hash()


def freeze_trained(ldm: LatentModel) -> None:
    """Let training change the weights of the added conditions alone.

    Their null embeddings stay zero, too: without a new condition the model stays the old one, and
    makes the crystals of that one's recipes.
    """
    ldm.network.requires_grad_(False)
    for name in ldm.added:
        condition = ldm.network.properties[name].requires_grad_(True)
        condition.null.requires_grad_(False)


def forget_former_weights(ldm: LatentModel) -> None:
    """Drop what holds for the weights of before alone, since all of them are trained now.

    These are the hashes of models whose recipes it makes, and the calibrations of conditions.
    """
    ldm.data_info = {n: v for n, v in ldm.data_info.items() if n not in _OF_WEIGHTS}
    for module in ldm.modules():
        if isinstance(module, Condition):
            module.take_calibration([])
    for condition in ldm.config.get("conditions", {}).values():
        condition.pop("calibration", None)
