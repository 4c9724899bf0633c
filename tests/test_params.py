import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pytest
import yaml
from dvc.utils.serialize import load_yaml

from iadlib.detectors import DETECTORS, create, detector_class
from iadlib.params import check_values, parse_yaml, read_blocks, read_list

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "params").rglob("*.yaml"))
EXECUTION = {"batch_size", "device", "seed"}


def block_of(name, profile):
    return read_blocks(f"{ROOT / 'params/methods' / name}.yaml:common,{profile}")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_both_parsers_read_the_same_values(path):
    # 1e-3 is a number for DVC and text for PyYAML: write 0.001.
    assert yaml.safe_load(path.read_text()) == load_yaml(path)


@pytest.mark.parametrize("name", list(DETECTORS))
@pytest.mark.parametrize("profile", ["quick", "embedded", "paper"])
def test_every_block_of_a_method_is_accepted_by_its_detector(name, profile):
    block = block_of(name, profile)
    assert set(block) <= {"image_size", "hyperparameters", "seeds"}
    create(name, **block.get("hyperparameters", {}))


@pytest.mark.parametrize("name", list(DETECTORS))
def test_the_published_settings_are_complete(name):
    block = block_of(name, "paper")
    without = EXECUTION if detector_class(name).localises else {*EXECUTION, "smoothing_sigma", "image_score"}
    assert set(block["hyperparameters"]) == {field.name for field in fields(detector_class(name))} - without
    assert len(block["image_size"]) == 2


@pytest.mark.parametrize("name", list(DETECTORS))
@pytest.mark.parametrize("profile", ["quick", "embedded"])
def test_reduced_settings_name_only_what_differs_from_the_defaults(name, profile):
    block, defaults = block_of(name, profile), asdict(create(name))
    for key, value in check_values(detector_class(name), block.get("hyperparameters"), name).items():
        assert value != defaults[key], key
    assert block.get("image_size") != detector_class(name).image_size


def test_the_methods_of_the_grid_are_the_detectors_in_table_order():
    assert yaml.safe_load((ROOT / "params/grid.yaml").read_text())["methods"] == list(DETECTORS)


def written(tmp_path, content):
    path = tmp_path / "some.yaml"
    path.write_text(content)
    return path


def test_a_later_block_overrides_key_by_key(tmp_path):
    path = written(tmp_path, "common: {a: 1, inner: {x: 1, y: 2}}\nquick: {inner: {y: 3}, b: 4}\n")
    assert read_blocks(f"{path}:common,quick") == {"a": 1, "b": 4, "inner": {"x": 1, "y": 3}}


def test_an_empty_block_has_no_keys_and_an_empty_value_overrides_none(tmp_path):
    path = written(tmp_path, "common: {inner: {x: 1}, a: 1}\nquick:\n  inner:\n  a:\nembedded:\n")
    assert read_blocks(f"{path}:embedded") == {}
    assert read_blocks(f"{path}:common,quick") == {"inner": {"x": 1}, "a": None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("comon: {a: 1}", "unknown block 'comon'"),
        ("common: {a: 1}", "has no block 'quick'; it has common"),
        ("common: {a: [1", "not valid YAML"),
        ("- common\n- quick", "no blocks in it"),
        ("common: {a: 1}\nquick: [1, 2]", r"block 'quick' is \[1, 2\]; keys with values"),
        ("", "has no block 'common'; it has none"),
        ("common: {a: 1, a: 2}\nquick: {}", "the key 'a' twice"),
        ("common: {}\nquick: {}\ncommon: {a: 1}", "the key 'common' twice"),
    ],
)
def test_an_error_in_a_params_file_names_the_file(tmp_path, content, message):
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=message) as raised:
        read_blocks(f"{path}:common,quick")
    assert "some.yaml" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.yaml:common", r"nowhere\.yaml: no such params file"),
        ("folder:common", "folder is a folder"),
        ("binary.yaml:common", r"binary\.yaml: not valid YAML"),
    ],
)
def test_what_is_no_params_file_is_named(tmp_path, name, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=message):
        read_blocks(f"{tmp_path / name}")


@pytest.mark.parametrize("specification", ["some.yaml", "some.yaml:", ":common"])
def test_a_specification_without_file_or_block_raises(specification):
    with pytest.raises(ValueError, match=r"no block is named; write \S+:common,quick"):
        read_blocks(specification)


@dataclass
class Settings:
    count: int = 1
    share: float = 0.5
    kind: str = "a"
    active: bool = False
    layers: tuple[int, ...] = ()
    size: int | tuple[int, int] | None = None
    layer: int | str = 3
    inner: dict[str, dict] | None = None


def test_values_of_the_right_type_are_converted():
    values = {"count": 2, "share": 1, "layers": [1, 2], "size": [3, 4], "layer": "blocks.5", "inner": {"a": {"b": 1}}}
    checked = check_values(Settings, values, "some.yaml")
    assert checked == values | {"layers": (1, 2), "size": (3, 4)}
    assert isinstance(checked["share"], float)
    assert check_values(Settings, None, "some.yaml") == {}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("count", "2", "a whole number (YAML takes 2 for text; write 2)"),
        ("count", 2.5, "a whole number"),
        ("count", True, "a whole number"),
        ("share", "1e-3", "a number (YAML takes 1e-3 for text; write 0.001)"),
        ("share", float("inf"), "a number"),
        ("kind", 1, "text"),
        ("active", 1, "true or false"),
        ("layers", 3, "a list of whole numbers"),
        ("layers", [1.5], "a list of whole numbers"),
        ("size", [1, 2, 3], "a whole number or a list of 2 whole numbers or null"),
        ("layer", 1.5, "a whole number or text"),
        ("inner", {"a": 1}, "keys with values or null"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_file_key_and_type(name, value, expected):
    with pytest.raises(ValueError, match="^" + re.escape(f"some.yaml: {name} is {value!r}, not {expected}") + "$"):
        check_values(Settings, {name: value}, "some.yaml")


def test_an_unknown_name_raises_with_the_likeliest_meant():
    with pytest.raises(ValueError, match=r"some\.yaml: Settings has no setting 'cuont'; did you mean 'count'\?"):
        check_values(Settings, {"cuont": 1}, "some.yaml")


def test_a_list_instead_of_keys_with_values_raises():
    with pytest.raises(ValueError, match=r"some\.yaml: \[1\], where keys with values are expected"):
        check_values(Settings, [1], "some.yaml")


@pytest.mark.parametrize("grid", ["params/grid.yaml", "params/quick/grid.yaml"])
def test_every_detector_that_other_settings_name_is_fitted(grid):
    def read(path: str) -> dict:
        return yaml.safe_load((ROOT / path).read_text())

    named = {*read("params/ensemble.yaml")["common"]["cuts"], *read("params/calibration.yaml")["common"]["members"]}
    assert named | {*read(grid)["masked_methods"]} <= {*read(grid)["methods"]}


def test_a_list_is_read_by_file_and_key_and_a_broken_file_is_one_error(tmp_path):
    path = written(tmp_path, "words: [one, 2]\nnamed: {first: {}, second: {}}\n")
    assert read_list(f"{path}:words") == ["one", "2"]
    assert read_list(f"{path}:named") == ["first", "second"]
    with pytest.raises(ValueError, match="FILE:KEY of a list"):
        read_list(f"{path}:others")
    with pytest.raises(ValueError, match="not valid YAML"):
        read_list(f"{written(tmp_path, 'words: [one')}:words")


@pytest.mark.parametrize(
    "text", ["a: 1\nb: 2\na: 3", "{x: {a: 1, b: 2, a: 3}}", "base: &a {x: 1}\ntop: {<<: *a, y: 1, y: 2}", "1: a\n1: b"]
)
def test_a_repeated_key_is_an_error_that_names_it(text):
    with pytest.raises(yaml.YAMLError, match=r"the key '[ay1]' twice"):
        parse_yaml(text)


def test_everything_else_is_as_by_safe_load():
    text = "base: &a {x: 1}\ntop: {b: &b {<<: *a, x: 2}}\nc: {<<: *b}\n1: one\n'1': text\n"
    assert parse_yaml(text) == yaml.safe_load(text)
    assert parse_yaml("") is None
