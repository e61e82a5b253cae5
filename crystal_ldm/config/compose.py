"""Configurations: YAML files composed into plain, checked data.

`load_config("oqmd_icsd/ldm_joint", ["training.batch_size=64"])` composes
`configs/experiment/ldm_joint.yaml` for a data set with what its defaults list names; `instantiate`
builds objects from it. Files are laid out as Hydra's: a file's defaults list names those that it
changes, and its content belongs under its folder's name, unless it says `# @package _global_`.
Nothing in a YAML file can run code: `_target_` names one of the listed classes, and arguments are
values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from crystal_ldm.config.typed import check
from crystal_ldm.config.yaml_data import parse_yaml, read_yaml, spaced
from crystal_ldm.errors import ConfigError, suggest

CONFIG_DIR = Path(__file__).parents[1] / "configs"

_PATH_KEYS = ("data.dataset",)


def config_names(config_dir: Path | str | None = None) -> list[str]:
    """Return the names of all configurations in `config_dir` (default: the ones shipped)."""
    folder = Path(config_dir) if config_dir is not None else CONFIG_DIR
    return sorted(f.relative_to(folder).with_suffix("").as_posix() for f in folder.rglob("*.yaml"))


def load_config(
    name: str,
    overrides: Sequence[str] = (),
    *,
    config_dir: Path | str | None = None,
    schema: type | None = None,
) -> dict[str, Any]:
    """Compose a configuration, check it, and return it as plain data.

    Args:
        name: a file under `config_dir` without its suffix, for example
            `ldm_module/ldm_dng`; `ldm_joint` is short for `experiment/ldm_joint`, and
            `mp_20/ldm_joint` is that experiment with `data.dataset=mp_20`.
        overrides: changes, for example `ldm_module.denoiser.depth=6`; another file of a folder that
            a defaults list names, for example `ldm_module=ldm_small`; or a key to leave out,
            `~ldm_module.conditions.band_gap`. A key that no file gives, but that the class has, may
            be set in the same way.
        config_dir: folder of the YAML files; None: the shipped ones.
        schema: a class whose arguments are the configuration's outermost keys.

    Raises:
        ConfigError: an unknown name, key or class (with a suggestion), a value of the wrong type,
            or YAML that cannot be read.
    """
    folder = Path(config_dir).resolve() if config_dir is not None else CONFIG_DIR
    full_name, dataset = _find(name, folder)
    if isinstance(overrides, str) or not all(isinstance(item, str) for item in overrides):
        raise ConfigError(f"overrides must be a list of 'key=value' texts and is {overrides!r}.")
    where = f"{folder.name}/{full_name}.yaml"
    changes: dict[str, Any] = {"data.dataset": dataset} if dataset else {}
    files: dict[str, str] = {}
    try:
        for item in overrides:
            changes |= _change(item)
        content = _composed(full_name, folder, changes, files)
        for change in changes:  # what it says, what is in it and what it is in stand in no file
            files = {k: f for k, f in files.items() if not f"{k}.".startswith(f"{change}.")}
            files.pop(change.rpartition(".")[0], None)
        check(content, where, schema, files)
    except ConfigError as error:
        raise ConfigError(str(error) if where in str(error) else f"{where}: {error}") from None
    return content


def _find(name: str, folder: Path) -> tuple[str, str]:
    """Return a file's full name, and the data set that `name` puts before an experiment's."""
    names = config_names(folder)
    wanted = str(name).strip().removesuffix(".yaml")
    for candidate in (wanted, f"experiment/{wanted}"):
        if candidate in names:
            return candidate, ""
    dataset, _, experiment = wanted.removeprefix("experiment/").rpartition("/")
    if re.fullmatch(r"\w+", dataset) and f"experiment/{experiment}" in names:
        return f"experiment/{experiment}", dataset
    short = [n.removeprefix("experiment/") for n in names]
    raise ConfigError(
        f"There is no configuration '{name}' in {folder}.{suggest(wanted, short + names)} "
        f"There are: {', '.join(short) or 'none'}."
    )


def _change(override: str) -> dict[str, Any]:
    """Return an override as a key and its value; a text that YAML cannot read stands for itself.

    Paths may hold commas, brackets, blanks, `=` and `#`, and are text in any case.
    """
    match = re.fullmatch(r"(~|\+{0,2})([\w./@-]+)(?:=(.*))?", override.strip(), re.DOTALL)
    if match is None or (match[3] is None) != (match[1] == "~"):
        raise ConfigError(f"the override '{override[:200]}' cannot be read: write it as key=value.")
    sign, key, value = match[1], match[2], (match[3] or "").strip()
    if sign == "~":
        return {f"~{key}": None}
    if not value or (key.endswith(_PATH_KEYS) and value[0] not in "'\""):
        return {key: value}
    try:
        return {key: parse_yaml(spaced(value) if value[0] == "{" else value)}
    except ConfigError:
        return {key: value}


def _composed(
    name: str, folder: Path, changes: dict[str, Any], files: dict[str, str]
) -> dict[str, Any]:
    """Return a file with all that its defaults lists name, and with the changes.

    `files` gets the file of each key.
    """
    try:
        content = OmegaConf.create(_merged(name, folder, changes, files))
        for key, value in changes.items():
            if "/" in key.partition(".")[0] or (folder / key).is_dir():
                raise ConfigError(
                    f"no defaults list names a file of '{key}' that it could replace."
                )
            if key.startswith("~"):
                above, _, last = key[1:].rpartition(".")
                del (OmegaConf.select(content, above) if above else content)[last]
            else:
                OmegaConf.update(content, key, value, force_add=True)
        plain: Any = OmegaConf.to_container(content, resolve=True, throw_on_missing=True)
    except ConfigError:
        raise
    except (OmegaConfBaseException, LookupError, TypeError, ValueError, RecursionError) as error:
        raise ConfigError(" ".join(str(error).split())[:300]) from error
    for group in name.split("/")[:-1]:
        if list(plain) == [group] and isinstance(plain[group], dict):
            plain = plain[group]
    return plain


def _keys(content: Any, above: str = "") -> Iterator[str]:
    """Yield the keys of a mapping and of those in it: `training`, `training.batch_size`, …"""
    for key, value in content.items() if isinstance(content, dict) else ():
        yield f"{above}{key}"
        yield from _keys(value, f"{above}{key}.")


def _merged(name: str, folder: Path, changes: dict[str, Any], files: dict[str, str]) -> Any:
    """Return a file merged with those of its defaults list; what it says itself comes last."""
    options = config_names(folder)
    group = name.rpartition("/")[0]
    if name not in options:
        near = [n for n in options if n.rpartition("/")[0] == group]
        listed = f" There are: {', '.join(near)}." if near else ""
        raise ConfigError(f"there is no '{name}'.{suggest(name, options)}{listed}")
    file = folder / f"{name}.yaml"
    own = read_yaml(file) or {}
    if not isinstance(own, dict):
        raise ConfigError(f"'{file}' should be a mapping of keys to values.")
    defaults = own.pop("defaults", [])
    if group and not file.read_text(encoding="utf-8").startswith("# @package _global_"):
        for key in reversed(group.split("/")):
            own = {key: own}
    parts = []
    for item in defaults:
        if isinstance(item, dict):
            ((key, choice),) = item.items()
            key = key.strip("/")
            parts.append(_merged(f"{key}/{changes.pop(key, choice)}", folder, changes, files))
        elif item != "_self_":
            parts.append(_merged(f"{group}/{item}", folder, changes, files))
    files |= dict.fromkeys(_keys(own), f"{folder.name}/{name}.yaml")
    return OmegaConf.merge(*parts, own)
