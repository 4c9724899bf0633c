"""pyproject.toml, requirements.lock and environment.yml say the same."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
EXTRAS = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]


def pins() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", LOCK, flags=re.MULTILINE):
        found.setdefault(name, []).append(version)
    return found


@pytest.mark.parametrize("line", PROJECT["dependencies"] + EXTRAS)
def test_every_pin_lies_in_the_range_of_pyproject(line):
    requirement = Requirement(line)
    versions = pins()[requirement.name]
    assert all(requirement.specifier.contains(version) for version in versions)


def test_every_pin_has_a_hash():
    blocks = re.split(r"\n(?=[a-z0-9])", LOCK)
    assert all("--hash=sha256:" in block for block in blocks if "==" in block)


def test_lock_file_names_no_index_and_no_address():
    assert not re.search(r"https?:|index-url|find-links", LOCK)


def test_environment_yml_installs_the_lock_file_and_nothing_else():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert pip == ["-r requirements.lock"]
    conda = [Requirement(item.replace(" ", "")) for item in environment["dependencies"] if isinstance(item, str)]
    assert {item.name for item in conda} == {"python", "pip", "git", "make"}


def test_environment_yml_and_pyproject_ask_for_the_same_oldest_python():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python = next(item for item in environment["dependencies"] if item.startswith("python"))
    versions = [f"3.{minor}" for minor in range(8, 14)]
    by_conda, by_project = SpecifierSet(python.split()[1]), SpecifierSet(PROJECT["requires-python"])
    assert list(by_conda.filter(versions)) == list(by_project.filter(versions))
