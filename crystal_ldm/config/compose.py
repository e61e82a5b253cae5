"""Configurations: Hydra YAML composed into plain, checked data.

`load_config("oqmd_icsd/ldm_joint", ["training.batch_size=64"])` composes
`configs/experiment/ldm_joint.yaml` for a data set with what its defaults list names; `instantiate`
builds objects from it. Nothing in a YAML file can run code: `_target_` names one of the listed
classes, and arguments are values.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from crystal_ldm.config.typed import TARGETS, check, instantiate, target_class
from crystal_ldm.errors import ConfigError, suggest

__all__ = ["TARGETS", "check", "config_names", "instantiate", "load_config", "target_class"]

CONFIG_DIR = Path(__file__).parents[1] / "configs"

_PATH_KEYS = ("data.dataset",)

_hydra_lock = threading.Lock()  # Hydra's state is global


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
        overrides: Hydra overrides, for example `ldm_module.denoiser.depth=6`, or of a group of
            the defaults list, for example `ldm_module=ldm_small`. A key that no file gives, but
            that the class has, may be set in the same way.
        config_dir: folder of the YAML files; None: the shipped ones.
        schema: a class whose arguments are the configuration's outermost keys.

    Raises:
        ConfigError: an unknown name, key or class (with a suggestion), a value of the wrong type,
            or YAML that cannot be read.
    """
    folder = Path(config_dir).resolve() if config_dir is not None else CONFIG_DIR
    full_name, dataset = _find(name, folder)
    changes = [*([f"data.dataset={dataset}"] if dataset else []), *overrides]
    changes = _checked_overrides(overrides if isinstance(overrides, str) else changes)
    changes = [_added(item, folder, schema is not None) for item in changes]
    with _hydra(folder):
        content = _compose(full_name, changes, folder)
    try:
        check(content, f"{folder.name}/{full_name}.yaml", schema)
    except ConfigError as error:
        raise ConfigError(f"{error}{_origin(str(error), full_name, changes, folder)}") from None
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


def _checked_overrides(overrides: Sequence[str]) -> list[str]:
    if isinstance(overrides, str) or not all(isinstance(item, str) for item in overrides):
        raise ConfigError(f"overrides must be a list of 'key=value' texts and is {overrides!r}.")
    for item in overrides:
        if re.match(r"[+~]*hydra[./=@]", item):
            raise ConfigError(f"The override '{item}' is about Hydra itself: that is not allowed.")
    return [_quoted(item) for item in overrides]


def _added(override: str, folder: Path, has_schema: bool) -> str:
    """Return an override that adds its key where no file gives it: the check comes later."""
    key, equals, _ = override.partition("=")
    is_value = equals and re.fullmatch(r"[\w.]+", key) and not (folder / key).is_dir()
    return f"++{override}" if is_value and (has_schema or "." in key) else override


def _quoted(override: str) -> str:
    """Return an override with quotes around its value where Hydra's grammar cannot read it plain.

    Paths may hold commas, brackets, blanks, `=` and `#`, and are text in any case.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, equals, value = override.partition("=")
    if not equals or not value.strip() or value.strip()[0] in "'\"" or "${" in value:
        return override
    try:
        OverridesParser.create().parse_override(override)
        if not key.endswith(_PATH_KEYS):
            return override
    except HydraException:
        if not re.fullmatch(r"[+~]{0,2}[\w./@:-]+", key):
            return override  # not the value is the trouble
    # Hydra takes a backslash for itself unless a quote follows.
    text = re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), value.strip())
    return f"{key}='{text}'"


@contextmanager
def _hydra(folder: Path) -> Iterator[None]:
    """Hydra on `folder`; whatever the user's own program has set up in Hydra is put back."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.version import VersionBase

    with _hydra_lock:
        state, version = GlobalHydra.instance(), VersionBase.instance()
        hydra_before, version_before = state.hydra, version.version_base
        state.clear()
        try:
            with initialize_config_dir(str(folder), job_name="crystal_ldm", version_base="1.3"):
                yield
        finally:
            state.hydra = hydra_before
            GlobalHydra.set_instance(state)
            version.version_base = version_before


def _compose(name: str, overrides: list[str], folder: Path) -> dict[str, Any]:
    from hydra import compose
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    where = f"{folder.name}/{name}.yaml"
    try:
        composed = compose(name, overrides)
        content = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} or a file that it names is not YAML: {error}.") from error
    except (HydraException, OmegaConfBaseException, OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: {_explain(error, overrides, folder)}") from error
    assert isinstance(content, dict)
    return _unwrap({str(key): value for key, value in content.items()}, name)


def _unwrap(content: dict[str, Any], name: str) -> dict[str, Any]:
    """Take a file's content out of the package that Hydra derives from its folder.

    `ldm_module/ldm_dng` comes as `{"ldm_module": {...}}` unless the file says
    `# @package _global_`.
    """
    for group in name.split("/")[:-1]:
        if list(content) == [group] and isinstance(content[group], dict):
            content = content[group]
    return content


def _explain(error: Exception, overrides: list[str], folder: Path) -> str:
    """Say in one sentence what Hydra says in many, with the key or file that was meant."""
    text = " ".join(str(error).split())
    missing_file = re.search(r"(?:Could not find|Could not load|Cannot find \S+) '([^']+)'", text)
    if missing_file:
        wanted, options = missing_file[1], config_names(folder)
        group = [n for n in options if n.rpartition("/")[0] == wanted.rpartition("/")[0]]
        listed = f" There are: {', '.join(group)}." if group else ""
        return f"there is no '{wanted}'.{suggest(wanted, options)}{listed}"
    for item in overrides:
        if item in text:
            return f"the override '{item.lstrip('+')}' cannot be read ({text[:200]})."
    return text[:300]


def _origin(message: str, name: str, overrides: list[str], folder: Path) -> str:
    """Name the override or the file that a wrong key came from, when it is not the main file."""
    match = re.search(r": '([^']+)'", message)
    if not match:
        return ""
    key = match[1].split("[")[0]
    if any(key in item.split("=")[0] for item in overrides):
        return " It comes from an override."
    pattern = re.compile(rf"^\s*{re.escape(key.rpartition('.')[2])}\s*:", re.MULTILINE)
    files = [
        f"{other}.yaml"
        for other in config_names(folder)
        if pattern.search((folder / f"{other}.yaml").read_text(encoding="utf-8"))
    ]
    if len(files) == 1 and files[0] != f"{name}.yaml":
        return f" It stands in {folder.name}/{files[0]}."
    return ""
