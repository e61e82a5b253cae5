"""The keys of a YAML file that a user writes, as a pydantic model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from crystal_ldm.config.numbers import sentence
from crystal_ldm.errors import ConfigError


class FileKeys(BaseModel):
    """Base of the models of files: a field for each key; what a file leaves out has a default."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @classmethod
    def read(cls, content: Mapping[str, Any], where: str) -> Self:
        """Return the checked content of a file.

        Args:
            content: what stands in it.
            where: its name, for errors.

        Raises:
            ConfigError: a key that there is not (with a suggestion), or one of another type or
                out of bounds.
        """
        try:
            return cls.model_validate(dict(content))
        except ValidationError as error:
            raise ConfigError(f"{where}: {sentence(cls, error, 'key')}") from None
