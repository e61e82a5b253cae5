"""Conditions as a user writes them: short, or as in an experiment's YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crystal_ldm.crystals.space_groups import SPACE_GROUP
from crystal_ldm.errors import ConfigError

EXAMPLE = "{bulk_modulus: {label: k_vrh, unit: GPa}}"


def read_conditions(conditions: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Return the configuration of each condition.

    Args:
        conditions: by name: a mapping as in an experiment's YAML, of which `_target_` may be left
            out (`{bulk_modulus: {label: k_vrh, unit: GPa}}` is a number, `{system: {options:
            [cubic, hexagonal]}}` a category), or the unit alone of a number whose label has the
            condition's name (`{k_vrh: GPa}`). `{space_group: }` needs no label: spglib finds it.

    Raises:
        ConfigError: for something else.
    """
    configs = {}
    for name, value in (conditions or {}).items():
        if not str(name).isidentifier():
            raise ConfigError(
                f"The condition '{name}' needs a name of letters, digits and _; its label may be "
                f"any column: {EXAMPLE}."
            )
        if value is None or isinstance(value, str):
            value = {"unit": value or ""}
        if not isinstance(value, Mapping):
            raise ConfigError(
                f"The condition '{name}' should be a unit or a mapping such as {EXAMPLE}, "
                f"and is {value!r}."
            )
        kind = "CategoryCondition" if "options" in value else "ScalarCondition"
        if name == SPACE_GROUP and "options" not in value:
            kind = "SpaceGroupCondition"
        configs[str(name)] = {"_target_": kind, **value}
    return configs
