"""Configurations: YAML composed into plain, checked data, and objects built from it."""

from crystal_ldm.config.compose import CONFIG_DIR, config_names, load_config
from crystal_ldm.config.typed import TARGETS, check, check_fields, instantiate, target_class

__all__ = [
    "CONFIG_DIR",
    "TARGETS",
    "check",
    "check_fields",
    "config_names",
    "instantiate",
    "load_config",
    "target_class",
]
