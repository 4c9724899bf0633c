"""A category: one kind of part, its images in three splits, and the ground truth of its test images."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from iadlib.data.errors import DataError, raise_together
from iadlib.data.images import image_sizes, read_image
from iadlib.data.regions import DefectType, read_binary_regions, read_fringed_regions, read_loco_regions
from iadlib.types import Region

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Category:
    """What `load_category` found in a folder.

    `layout` is "mvtec_ad", "mvtec_loco" or "magnetic_tile". `defect_types` are the entries of `defects_config.json` by
    pixel value, none in other layouts. `samples` has a row for every image: train, validation, test, each in natural
    order of folder and file name. Its columns:

    - image: path of the photograph
    - split: "train", "validation" or "test"; only test holds defective images
    - label: "good", "logical" or "structural"
    - defect: the folder of a test image, without "MT_" for magnetic tile; "good" for every good image
    - name: folder and file name without ending, as in "logical_anomalies/007"; unique within a split
    - masks: tuple of the paths of its masks, () for good images
    - has_mask: whether the masks mark any pixel; False for good images, and for defective magnetic tiles whose mask is
      empty. Nobody knows where those have their defect: leave them out of metrics that count pixels, where all of
      theirs would pass for defect-free.
    """

    name: str
    layout: str
    root: Path
    samples: pd.DataFrame = field(repr=False)
    defect_types: Mapping[int, DefectType] = field(default_factory=dict, repr=False)

    def of(self, split: str) -> pd.DataFrame:
        """The samples of one split, rows numbered from 0."""
        if split not in SPLITS:
            raise ValueError(f"a split is one of {', '.join(SPLITS)}, not {split!r}")
        return self.samples[self.samples["split"] == split].reset_index(drop=True)

    def regions(self, i: int) -> list[Region]:
        """Ground-truth regions of test image i, the row i of `of("test")`; [] for a good one.

        Raises `DataError` where a mask is unreadable, of another size than its image, or of unexpected values.
        """
        sample = self.of("test").iloc[i]
        if not sample["has_mask"]:
            return []
        [size] = image_sizes([sample["image"]])
        if self.layout == "mvtec_loco":
            return read_loco_regions(sample["masks"], size, self.defect_types)
        read = read_binary_regions if self.layout == "mvtec_ad" else read_fringed_regions
        return read(sample["masks"][0], size, sample["defect"])

    def require(self, *splits: str) -> None:
        """Raise `DataError` if one of the splits has no image."""
        for split in splits:
            if self.of(split).empty:
                raise DataError(f"{self.root}: no {split} images in this category ({self.layout} layout)")

    def check(self) -> None:
        """Read every image and mask, and raise one `DataError` that lists every bad file."""
        test = len(self.of("test"))
        steps = [(read_image, path) for path in self.samples["image"]] + [(self.regions, i) for i in range(test)]
        problems = []
        for read, argument in tqdm(steps, desc=f"checking {self.name}", leave=False, disable=None):
            try:
                read(argument)
            except DataError as error:
                problems.append(str(error))
        if problems:
            # A photograph without a readable header is met twice: as an image, and for the size of its masks.
            raise_together(f"{self.root}: bad files in this category:", list(dict.fromkeys(problems)))
