"""Where the files of one profile of the study are, and what the study runs on."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from iadlib.data import Category, DataError, load_category
from iadlib.files import ROOT
from iadlib.metrics.values import long
from iadlib.params import parse_yaml

TEXT = dict.fromkeys(("name", "label", "defect", "entry", "file"), str)  # columns of which none holds numbers


@dataclass(frozen=True)
class Study:
    """The images, fitted detectors and reports of one profile, below a folder with the repository's layout.

    A relative `folder` is relative to the repository, whatever folder a notebook runs in.
    """

    profile: str
    folder: str | Path = "."

    @property
    def artifacts(self) -> Path:
        return ROOT / self.folder / "artifacts" / self.profile

    @property
    def reports(self) -> Path:
        return ROOT / self.folder / "reports" / self.profile

    @cached_property
    def grid(self) -> dict:
        """params/grid.yaml: `methods` (the detectors), `categories`, `backgrounds`."""
        return parse_yaml((ROOT / self.folder / "params/grid.yaml").read_text())

    def category(self, name: str) -> Category | None:
        """The images of a category, the same for every profile; None and one printed line where they are missing."""
        return self._images("rendered", name)

    def masked(self, background: str, copy: str) -> Category | None:
        """A masked copy of the images on one ground; None and one printed line where it is missing."""
        return self._images(self.profile, "masked", background, copy)

    def _images(self, *parts: str) -> Category | None:
        folder = ROOT / self.folder / "data" / Path(*parts)
        return load_category(folder) if self._any([folder]) else None

    def fitted(self, folders: dict[str, str]) -> dict[str, Path]:
        """Folders of fitted detectors, from their paths below `artifacts`; one printed line where none exists."""
        paths = {name: self.artifacts / folder for name, folder in folders.items()}
        return {name: path for name, path in paths.items() if path.is_dir()} if self._any(paths.values()) else {}

    def metrics(self, category: str) -> dict[str, dict]:
        """metrics.json of every detector; empty, and one printed line, where the category has not been judged."""
        folder = self.reports / "benchmark" / category
        methods = self.grid["methods"] if self._any([folder]) else []
        return {method: json.loads((folder / method / "metrics.json").read_text()) for method in methods}

    def table(self, *parts: str, empty: Sequence[str] = ()) -> pd.DataFrame:
        """A CSV below `reports`; where it is missing, a table with the columns `empty`, or else `DataError`."""
        path = self.reports.joinpath(*parts)
        if not path.is_file() and not empty:
            raise DataError(f"{path}: no such result; `dvc repro` computes it")
        return long(pd.read_csv(path, dtype=TEXT)) if path.is_file() else pd.DataFrame(columns=list(empty))

    def gather(self, step: str, categories: Iterable[str], file: str, empty: Sequence[str] = ()) -> pd.DataFrame:
        """The tables of several categories below one another, with a column category; see `table`."""
        parts = [self.table(step, name, f"{file}.csv", empty=empty).assign(category=name) for name in categories]
        return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)

    def _any(self, folders: Collection[Path]) -> bool:
        """Whether one of the folders exists; prints one line where none does."""
        missing = [folder.relative_to(ROOT / self.folder) for folder in folders if not folder.is_dir()]
        if missing and len(missing) == len(folders):
            print(f"{missing[0]} is missing; `dvc repro` computes it. Figures that need it are left out here.")
        return len(missing) < len(folders)
