from pathlib import Path

import pytest
import yaml
from dvc.utils.serialize import load_yaml

from iadlib.detectors import DETECTORS, create
from iadlib.params import read_blocks

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "params").rglob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_both_parsers_read_the_same_values(path):
    # 1e-3 is a number for DVC and a string for PyYAML: write 1.0e-3.
    assert yaml.safe_load(path.read_text()) == load_yaml(path)


@pytest.mark.parametrize("name", list(DETECTORS))
@pytest.mark.parametrize("profile", ["quick", "embedded", "paper"])
def test_every_block_of_a_method_is_accepted_by_its_detector(name, profile):
    block = read_blocks(f"{ROOT / 'params/methods' / name}.yaml:common,{profile}")
    assert set(block) == {"image_size", "hyperparameters"}
    create(name, **block["hyperparameters"])


def test_the_methods_of_the_grid_are_the_detectors_in_table_order():
    assert yaml.safe_load((ROOT / "params/grid.yaml").read_text())["methods"] == list(DETECTORS)


def test_a_later_block_overrides_key_by_key(tmp_path):
    path = tmp_path / "some.yaml"
    path.write_text("common: {a: 1, inner: {x: 1, y: 2}}\nquick: {inner: {y: 3}, b: 4}\n")
    assert read_blocks(f"{path}:common,quick") == {"a": 1, "b": 4, "inner": {"x": 1, "y": 3}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("comon: {a: 1}", "unknown block 'comon'"),
        ("common: {a: 1}", "has no block 'quick'"),
        ("common: {a: [1", "not valid YAML"),
    ],
)
def test_what_is_wrong_with_a_params_file_is_said_in_one_line(tmp_path, content, message):
    path = tmp_path / "some.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as raised:
        read_blocks(f"{path}:common,quick")
    assert "some.yaml" in str(raised.value)


def test_a_missing_params_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.yaml: no such params file"):
        read_blocks(f"{tmp_path / 'nowhere.yaml'}:common")
