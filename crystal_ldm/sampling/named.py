"""Settings of which there are several kinds, each in a file of its own: filters and starts.

A kind is a subclass; it is known by its name as soon as its class exists, so that a user's own
takes part in recipes, forms and command lines like those that come with the package.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from inspect import isabstract
from typing import Any, ClassVar, Self

from crystal_ldm.config.numbers import short
from crystal_ldm.errors import RequestError, suggest
from crystal_ldm.sampling.schema import Option, Settings


class Named(Settings):
    """Settings that are told apart by `kind`, the class's name in lower case with underscores."""

    kind: ClassVar[str] = ""
    family: ClassVar[str] = ""
    _kinds: ClassVar[dict[str, dict[str, type[Any]]]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Note each kind of a family."""
        if Named in cls.__bases__:
            cls._kinds[cls.family] = {}
        else:
            cls.kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
            before = cls._kinds[cls.family].get(cls.kind, cls).__module__
            if before.startswith("crystal_ldm.") and before != cls.__module__:
                raise RequestError(
                    f"crystal_ldm has a class {cls.__name__} among {cls.family}: give yours "
                    "another name."
                )
            cls._kinds[cls.family][cls.kind] = cls

    @classmethod
    def kinds(cls) -> dict[str, type[Self]]:
        """Return all kinds of this family by name."""
        package = import_module(f"crystal_ldm.sampling.{cls.family}")
        for module in pkgutil.iter_modules(package.__path__):
            import_module(f"{package.__name__}.{module.name}")
        return {n: kind for n, kind in cls._kinds[cls.family].items() if not isabstract(kind)}

    @classmethod
    def summary(cls) -> str:
        """Return the first line of its docstring."""
        return (cls.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")

    def to_dict(self) -> dict[str, Any]:
        """Return kind and fields as plain JSON data."""
        return {"name": self.kind, **super().to_dict()}

    @classmethod
    def make(cls, value: Any) -> Self:
        """Return `value`, or what it describes: a name, `{"name": …, field: value}`, or
        `{name: value of its only field}`.

        Raises:
            RequestError: if there is no such kind, or its fields are wrong.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            return cls.of(value)()
        if isinstance(value, Mapping) and "name" in value:
            kind = cls.of(value["name"])
            return kind.from_mapping({k: v for k, v in value.items() if k != "name"})
        if isinstance(value, Mapping) and len(value) == 1:
            ((name, fields),) = value.items()
            kind = cls.of(name)
            if isinstance(fields, Mapping):
                return kind.from_mapping(fields)
            if fields is True or fields is None:
                return kind()
            return kind(**{next(iter(kind.model_fields), "value"): fields})
        names = ", ".join(k.__name__ for k in cls.kinds().values())
        raise RequestError(f"Among {cls.family} there are {names}, and not {short(value)}.")

    @classmethod
    def of(cls, name: Any) -> type[Self]:
        """Return the kind of a name.

        Raises:
            RequestError: there is none.
        """
        kinds = cls.kinds()
        if not isinstance(name, str) or name not in kinds:
            raise RequestError(
                f"There is no {short(name)} among {cls.family}.{suggest(str(name), kinds)} "
                f"There are {', '.join(kinds)}. One of your own has to be defined first."
            )
        return kinds[name]

    @classmethod
    def family_options(cls, keyword: str) -> Iterator[Option]:
        """Yield the fields of all kinds, and a flag for each kind that has none."""
        for name, kind in cls.kinds().items():
            prefix = f"{keyword}.{name}"
            yield from kind.options(f"{prefix}.")
            if not kind.model_fields:
                yield Option(prefix, kind, "", "flag", False, None, None, "", kind.summary(),
                             "advanced", (), False)  # fmt: skip
