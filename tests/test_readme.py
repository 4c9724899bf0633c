"""What README.md and docs/ name exists: files, anchors, commands, names to import."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

from iadlib.__main__ import parser
from tests.prose import missing

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = {path: path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
TEXT = "\n".join(PAGES.values())
LINKS = [
    (path.parent, target)
    for path, text in PAGES.items()
    for target in re.findall(r"\]\(([^)]+)\)", text)
    if not target.startswith("http")
]
COMMANDS = sorted(set(re.findall(r"python -m iadlib (\w+)", TEXT)))


def anchors(markdown: str) -> set[str]:
    return {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in markdown.splitlines()
        if line.startswith("#")
    }


@pytest.mark.parametrize(("folder", "target"), LINKS)
def test_what_a_link_points_to_exists(folder, target):
    name, _, anchor = target.partition("#")
    assert (folder / name).exists()
    if anchor:
        assert anchor in anchors((folder / name).read_text())


def test_no_number_is_left_to_be_filled_in():
    assert not re.search(r"@\w+@|TODO|to be written", TEXT, flags=re.IGNORECASE)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_exists(command):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([command, "--help"])
    assert ended.value.code == 0


def test_examples_in_python_import_what_there_is():
    blocks = re.findall(r"(?:^    .*\n|^\n)+", TEXT, flags=re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.splitlines() if line.startswith("    from iadlib")]
    imports = [ast.parse(line).body[0] for line in lines]
    assert len(imports) >= 3
    for statement in imports:
        module = import_module(statement.module)
        assert all(hasattr(module, alias.name) for alias in statement.names), statement.module


def test_every_number_of_the_answers_is_in_a_committed_table():
    answers = README[README.index("## What the study says") : README.index("## Run the study")]
    assert missing(answers, sorted((ROOT / "reports/embedded").glob("*tables"))) == []
