"""Params files: YAML with one block a profile, and a block `common` that all profiles share."""

from pathlib import Path

import yaml

BLOCKS = ("common", "quick", "embedded", "paper")


def read_blocks(specification: str) -> dict:
    """`FILE:block,block` as one dictionary; a later block overrides an earlier one, key by key at every depth."""
    name, _, blocks = specification.rpartition(":")
    path = Path(name)
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError:
        raise ValueError(f"{path}: no such params file") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from None
    unknown = [block for block in content if block not in BLOCKS]
    if unknown:
        raise ValueError(f"{path}: unknown block {unknown[0]!r}; the blocks are {', '.join(BLOCKS)}")
    merged = {}
    for block in blocks.split(","):
        if block not in content:
            raise ValueError(f"{path} has no block {block!r}")
        merged = _merged(merged, content[block] or {})
    return merged


def _merged(base: dict, override: dict) -> dict:
    both = base | override
    for key in base.keys() & override.keys():
        if isinstance(base[key], dict) and isinstance(override[key], dict):
            both[key] = _merged(base[key], override[key])
    return both
