"""Rendered folders that several tests read."""

from pathlib import Path

import pytest

from iadlib.rendering import ON_HARDER_GROUND, render_category


@pytest.fixture(scope="session")
def settings() -> dict:
    """The arguments of `render_category` for the shared folders, without the counts."""
    return {"seed": 3, "width": 144, "samples": 2}


@pytest.fixture(scope="session")
def counts() -> dict[str, int]:
    """The images of the shared flat connector, with every defect once."""
    return {"train": 1, "validation": 1, "good": 1, "logical": 3, "structural": 3}


@pytest.fixture(scope="session")
def flat_connector(tmp_path_factory, settings, counts) -> Path:
    folder = tmp_path_factory.mktemp("rendered") / "flat_connector"
    return render_category("flat_connector", folder, counts=counts, **settings)


@pytest.fixture(scope="session")
def grounds(flat_connector, settings) -> Path:
    """The folder that holds the flat connector and some of its images on every harder ground."""
    counts = {"train": 1, "validation": 0, "good": 1, "logical": 1, "structural": 1}
    for name in ON_HARDER_GROUND:
        render_category(name, flat_connector.parent / name, counts=counts, **settings)
    return flat_connector.parent
