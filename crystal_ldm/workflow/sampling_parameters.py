"""How to sample, as parameters of a notebook: the keywords of `LDMModule.sample`.

Which there are, and of which type, is what `crystal_ldm.sampling.options` says; nothing here names
one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crystal_ldm.sampling import Option, options
from crystal_ldm.workflow.parameters import as_flag, as_integer, as_number, as_text, as_value


def sampling_options() -> dict[str, Option]:
    """Return what a notebook that samples may be given, by name: each keyword of `sample`."""
    return {option.path: option for option in options() if option.path == option.keyword}


def sampling_keywords(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of `LDMModule.sample` among a notebook's variables.

    `SamplingSettings.make` says what is wrong with a value that is none.

    Args:
        namespace: the notebook's `globals()`; None and the empty text are not given.

    Raises:
        RequestError: something has another type than the setting.
    """
    readers = {"number": as_number, "whole": as_integer, "flag": as_flag, "text": as_text}
    keywords = {}
    for name, option in sampling_options().items():
        value = namespace.get(name)
        if value is None or value == "":
            continue
        value = readers.get(option.type, as_value)(value, name)
        keywords[name] = value
    return keywords
