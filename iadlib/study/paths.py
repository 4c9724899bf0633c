"""Where the files of one profile of the study lie, and what the study runs on."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import yaml

from iadlib.data import Category, DataError, load_category

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Study:
    """The images, fitted detectors and reports of one profile, below a folder with the repository's layout.

    A relative `folder` is relative to the repository, whatever folder a notebook runs in.
    """

    profile: str
    folder: str | Path = "."

    @property
    def images(self) -> Path:
        return ROOT / self.folder / "data" / self.profile

    @property
    def artifacts(self) -> Path:
        return ROOT / self.folder / "artifacts" / self.profile

    @property
    def reports(self) -> Path:
        return ROOT / self.folder / "reports" / self.profile

    @cached_property
    def grid(self) -> dict:
        """params/grid.yaml: `methods` (the detectors), `categories`, `backgrounds`."""
        return yaml.safe_load((ROOT / self.folder / "params/grid.yaml").read_text())

    def category(self, name: str) -> Category | None:
        """The images of a category, or None with one printed line where they have not been rendered here."""
        folder = self.images / name
        if not folder.exists():
            print(f"{folder.relative_to(ROOT / self.folder)} is missing: `dvc repro` renders it. No photographs here.")
            return None
        return open_category(folder)

    def table(self, *parts: str, **options) -> pd.DataFrame:
        """A CSV below `reports`; `DataError` where it is missing."""
        return pd.read_csv(self._existing(*parts), **options)

    def json(self, *parts: str) -> dict:
        """A JSON file below `reports`; `DataError` where it is missing."""
        return json.loads(self._existing(*parts).read_text())

    def _existing(self, *parts: str) -> Path:
        path = self.reports.joinpath(*parts)
        if not path.is_file():
            raise DataError(f"{path}: no such result; `dvc repro` computes it")
        return path


def open_category(data: str | Path) -> Category:
    """The category in a folder of images, or in the folder that a `source.json` there refers to."""
    folder = ROOT / data
    reference = folder / "source.json"
    return load_category(ROOT / json.loads(reference.read_text())["folder"] if reference.is_file() else folder)
