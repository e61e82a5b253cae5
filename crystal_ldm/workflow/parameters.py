"""Parameters as they were meant, after papermill's own parsing.

`papermill -p formula InF` hands the notebook the number infinity: papermill takes for a number
whatever Python's `float` and `int` do (`InF`, `NaN`, `1_0`), and `-y`/`-f` read YAML, in which
`NO` is false. Each function here takes what arrived and returns what was meant, or raises a
`RequestError` that says how to write it. `papermill -r` and `crystal-ldm run` keep text as it is.
"""

from __future__ import annotations

import ast
import contextlib
import json
import math
import re
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from crystal_ldm.errors import ConfigError, RequestError

_NEXT = r"(?=[+~]*[A-Za-z_][\w./@]*=|~)"
_OVERRIDE = re.compile(rf",?\s+{_NEXT}")  # before the next one
_LISTED = re.compile(rf"(?:\s*,\s*|\s+){_NEXT}")

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def as_text(value: Any, name: str) -> str:
    """Return a parameter that is text (a formula, a name, a path); None is the empty text.

    Raises:
        RequestError: it is something else, such as the number that `-p formula InF` becomes.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, bool | Real):
        option = name.partition("[")[0]  # of which it is an item
        raise RequestError(
            f"{name} arrived as {value!r} and not as text: with papermill write -r {option} TEXT "
            f"instead of -p (crystal-ldm run takes --{option.replace('_', '-')} TEXT as it is), "
            "and in YAML or Python put quotes around it."
        )
    raise RequestError(f"{name} should be text and is {value!r}.")


def as_words(value: Any, name: str) -> list[str]:
    """Return formulas or element symbols as a list: from a list, or text with commas or spaces.

    Raises:
        RequestError: one of them is no text.
    """
    if isinstance(value, list | tuple):
        return [as_text(item, f"{name}[{i}]") for i, item in enumerate(value)]
    words = as_text(value, name).removeprefix("[").removesuffix("]").replace(",", " ").split()
    return [word for word in (word.strip("'\"") for word in words) if word]


def as_paths(value: Any, name: str) -> list[str]:
    """Return one path or a list of them (a list, or text) as a list.

    Text that is the path of something is that path, whatever characters it has; other text is a
    list with commas or spaces between its items.

    Raises:
        RequestError: one of them is no text.
    """
    from crystal_ldm.files import resolve_path

    if isinstance(value, str | Path) and (text := as_text(value, name)):
        with contextlib.suppress(OSError, ValueError):  # too long for a file system, a zero byte
            if resolve_path(text).exists():
                return [text]
    return as_words(value, name)


def as_number(value: Any, name: str) -> float:
    """Return a finite number.

    Raises:
        RequestError: it is not one.
    """
    if isinstance(value, str):
        value = _literal(value, name)
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise RequestError(f"{name} should be a number and is {value!r}.")
    return float(value)


def as_integer(value: Any, name: str) -> int:
    """Return a whole number.

    Raises:
        RequestError: it is not one.
    """
    number = as_number(value, name)
    if number != int(number):
        raise RequestError(f"{name} should be a whole number and is {value!r}.")
    return int(number)


def as_numbers(value: Any, name: str) -> list[float]:
    """Return finite numbers as a list: from one number, a list, or text such as `[1, 2]`.

    Raises:
        RequestError: one of them is none, or there is none.
    """
    values = as_value(value, name)
    numbers = values if isinstance(values, list | tuple) else [values]
    if not numbers:
        raise RequestError(f"{name} should be a number or a list of them and is empty.")
    return [as_number(number, name) for number in numbers]


def as_flag(value: Any, name: str) -> bool:
    """Return true or false, from the words and numbers that usually mean them.

    Raises:
        RequestError: it is something else.
    """
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise RequestError(f"{name} should be true or false and is {value!r}.")


def as_value(value: Any, name: str) -> Any:
    """Return a parameter that may be a number, a pair `[lo, hi]`, a list, a mapping or None.

    On papermill's command line lists and mappings are text: `-r band_gap "[1.0, 2.0]"`,
    `-r cfg_scale "{'band_gap': 3}"`. Text that is none of these stays text; empty text is None.

    Raises:
        RequestError: a bracket is not closed, or a number is not finite.
    """
    if isinstance(value, str):
        text = value.strip()
        if text in ("", "None", "null"):
            return None
        value = _literal(text, name)
    try:
        json.dumps(value, allow_nan=False, skipkeys=True, default=str)
    except ValueError:
        raise RequestError(f"{name} should be of finite numbers and is {value!r}.") from None
    return value


def as_mapping(value: Any, name: str) -> dict[str, Any]:
    """Return a mapping from a mapping or from text such as `{"band_gap": 2}`; None is empty.

    Raises:
        RequestError: it is something else.
    """
    value = as_value(value, name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RequestError(f"{name} should be a mapping such as {{'band_gap': 2}}, not {value!r}.")
    return {str(key): item for key, item in value.items()}


def as_overrides(value: Any, name: str = "overrides") -> list[str]:
    """Return changes of a configuration from a list or from text with spaces between them, such as
    `a.b=1 c=2` or `[a.b=1, c=2]`.

    A space inside a value (a path) separates nothing: only one before the next `key=` does.

    Raises:
        RequestError: it is neither.
    """
    if isinstance(value, str):
        text = value.strip()
        if text.startswith(("['", '["')):
            value = _literal(text, name)
        elif text.startswith("[") and text.endswith("]"):
            value = [part for part in _LISTED.split(text[1:-1].strip()) if part]
        else:
            value = [part for part in _OVERRIDE.split(text) if part]
    if value is None:
        return []
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise RequestError(f"{name} should be a list of 'key=value' texts and is {value!r}.")
    return list(value)


def _literal(text: str, name: str) -> Any:
    """Read a Python or YAML value; plain words stay text, nothing is evaluated."""
    if len(text) > 100_000:
        raise RequestError(f"{name} is longer than 100,000 characters.")
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        pass
    if not text.startswith(("[", "{", "(")):
        return text
    from crystal_ldm.config.yaml_data import parse_yaml, spaced  # pydantic takes a while

    try:
        value = parse_yaml(spaced(text), name)
    except ConfigError:
        value = text
    if isinstance(value, str):
        raise RequestError(f"{name} is not a list or mapping that can be read: {text[:200]!r}.")
    return value
