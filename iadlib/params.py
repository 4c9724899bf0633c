"""Params files: YAML with one block for each profile and a block `common` that all profiles share.

`read_blocks` reads blocks of a file, `read_list` one list, `parse_yaml` any YAML, and `check_values` compares values
with the types of a dataclass's fields, so that a mistake in a file ends in one error that names file, key and value.
"""

import difflib
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

Settings = TypeVar("Settings")
BLOCKS = ("common", "quick", "embedded", "paper")
TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    dict: "keys with values",
    types.NoneType: "null",
}


def read_blocks(specification: str) -> dict:
    """`FILE:block,block` as one dictionary; a later block overrides an earlier one, key by key at every depth.

    An empty block has no keys; an empty value does not override keys of an earlier block.
    """
    name, _, blocks = specification.rpartition(":")
    if not name or not blocks:
        raise ValueError(f"{specification}: no block is named; write {(name or blocks)}:common,quick for example")
    content = _read(Path(name))
    if unknown := [block for block in content if block not in BLOCKS]:
        raise ValueError(f"{name}: unknown block {unknown[0]!r}; the blocks are {', '.join(BLOCKS)}")
    merged = {}
    for block in blocks.split(","):
        if block not in content:
            raise ValueError(f"{name} has no block {block!r}; it has {', '.join(content) or 'none'}")
        if not isinstance(content[block], dict | None):
            raise ValueError(f"{name}: the block {block!r} is {content[block]!r}; keys with values are expected")
        merged = _merged(merged, content[block] or {})
    return merged


def read_list(specification: str) -> list[str]:
    """The entries of the list, or the keys of the mapping, that `FILE:KEY` names."""
    file, _, key = specification.rpartition(":")
    content = _read(Path(file)) if Path(file).is_file() else {}
    if not content.get(key):
        raise ValueError(f"{specification}: FILE:KEY of a list in a YAML file is expected")
    return [str(entry) for entry in content[key]]


def check_values(dataclass_type: type, values: Mapping[str, Any] | None, source: str | Path) -> dict[str, Any]:
    """The values, each converted to the type of the dataclass's field of that name; `source` is named in errors.

    A list becomes a tuple, a whole number a float, and null an empty dictionary, where the field's type asks for it.
    A name without a field, a value of another type and a number that is not finite raise a `ValueError`.
    """
    if not isinstance(values, Mapping | None):
        raise ValueError(f"{source}: {values!r}, where keys with values are expected")
    known, hints = [field.name for field in fields(dataclass_type)], get_type_hints(dataclass_type)
    checked = {}
    for name, value in (values or {}).items():
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
            if "hyperparameters" in known:
                hint = f"a detector's own settings stand below `hyperparameters`; {hint}"
            raise ValueError(f"{source}: {dataclass_type.__name__} has no setting {name!r}; {hint}")
        try:
            checked[name] = _converted(value, hints[name])
        except TypeError:
            expected = _described(hints[name])
            raise ValueError(f"{source}: {name} is {value!r}, not {expected}{_advice(value, expected)}") from None
    return checked


def read_settings(
    dataclass_type: type[Settings], specifications: Sequence[str], overrides: Mapping[str, Any] | None = None
) -> Settings:
    """The settings in the blocks of several `FILE:block,block`, a later one overriding an earlier one.

    `overrides`, as from a command line, come last.
    """
    merged, source = {}, ", ".join(specifications) or "the command line"
    for specification in specifications:
        merged = _merged(merged, check_values(dataclass_type, read_blocks(specification), specification))
    merged |= check_values(dataclass_type, overrides, "the command line")
    try:
        return dataclass_type(**merged)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source}: {error}") from None


def parse_yaml(text: str) -> Any:
    """The content of a YAML document, by the rules of `yaml.safe_load`; a repeated key is a `yaml.YAMLError`."""
    return yaml.load(text, _Loader)


class _Loader(yaml.SafeLoader):
    """PyYAML by itself silently ignores all values of a repeated key but the last."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise yaml.composer.ComposerError(None, None, f"the key {key.value!r} twice", key.start_mark)
            seen.add((key.tag, key.value))
        return node


def _read(path: Path) -> dict:
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such params file") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder; name a params file in it") from None
    except (yaml.YAMLError, ValueError) as error:  # a date such as 2024-13-45 is a ValueError
        raise ValueError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(content, dict | None):
        raise ValueError(f"{path}: no blocks in it; the keys of a params file are {', '.join(BLOCKS)}")
    return content or {}


def _merged(base: dict, override: dict) -> dict:
    both = base | override
    for key in base.keys() & override.keys():
        if isinstance(base[key], dict) and isinstance(override[key], dict | None):
            both[key] = _merged(base[key], override[key] or {})
    return both


def _converted(value: Any, hint: Any) -> Any:
    """The value as that type, or a `TypeError`."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _first_that_fits(value, inner)
    if origin is tuple and isinstance(value, list | tuple):
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        if len(kinds) == len(value):
            return tuple(_converted(part, kind) for part, kind in zip(value, kinds, strict=True))
    elif origin is dict and isinstance(value, Mapping):
        return {_converted(key, inner[0]): _converted(part, inner[1]) for key, part in value.items()}
    elif hint in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value) and (hint is float or isinstance(value, int)):
            return hint(value)
    elif dict in (hint, origin) and value is None:
        return {}
    elif origin is not tuple and hint not in (int, float) and isinstance(value, origin or hint):
        return value
    raise TypeError


def _first_that_fits(value: Any, options: Iterable[Any]) -> Any:
    """Converted to the value's own type if it is one of the options, else to the first that fits."""
    for option in sorted(options, key=lambda option: option is not type(value)):
        try:
            return _converted(value, option)
        except TypeError:
            continue
    raise TypeError


def _described(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_described(option) for option in inner)
    if origin is tuple:
        count = "" if inner[-1] is Ellipsis else f"{len(inner)} "
        return f"a list of {count}{_described(inner[0]).replace('a whole number', 'whole numbers')}"
    return TYPE_NAMES.get(origin or hint, getattr(hint, "__name__", str(hint)))


def _advice(value: Any, expected: str) -> str:
    if not isinstance(value, str) or "number" not in expected:
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ""
    plain = str(int(number)) if number.is_integer() else f"{number:.10f}".rstrip("0")
    return f" (YAML takes {value} for text; write {plain})"
