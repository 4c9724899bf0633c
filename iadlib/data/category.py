"""A category: one kind of part, its photographs in three splits, and the ground truth of its test images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from tqdm import tqdm

from iadlib.data.errors import DataError, raise_together
from iadlib.data.images import Header, bit_depth, load_images, mixed_orientations, read_header, read_image
from iadlib.data.photographs import copies
from iadlib.data.regions import DefectType, read_binary_regions, read_fringed_regions, read_loco_regions
from iadlib.types import Region

if TYPE_CHECKING:
    import torch

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Category:
    """What `load_category` found in a folder.

    `layout` is "mvtec_ad", "mvtec_loco", "magnetic_tile", or "photographs" for a plain folder of photographs of good
    parts. `defect_types` are the entries of `defects_config.json` by pixel value, none in other layouts.
    `unused_files` are the files beside the photographs that are none, by folder of a split. `given_bits` is the depth
    of the camera where the user gave it, see `bits`. `samples` has a row for every photograph: train, validation, test,
    each in natural order of folder and file name. Its columns:

    - image: path of the photograph
    - split: "train", "validation" or "test"; only test holds defective parts
    - label: "good", "logical" or "structural"
    - defect: the folder of a test image, without "MT_" for magnetic tile; "good" for every good image
    - name: folder and file name without ending, as in "logical_anomalies/007", in Unicode normal form C; unique within
      a split
    - masks: tuple of the paths of its masks, () for good images
    - has_mask: whether the masks mark any pixel. False for good images, for defective images without a mask and for
      those whose mask is empty. The place of their defect is unknown: leave such defective images out of metrics that
      count pixels, where all of their pixels would count as defect-free.
    """

    name: str
    layout: str
    root: Path
    samples: pd.DataFrame = field(repr=False)
    defect_types: Mapping[int, DefectType] = field(default_factory=dict, repr=False)
    unused_files: Mapping[str, tuple[Path, ...]] = field(default_factory=dict, repr=False)
    given_bits: int | None = None
    _headers: dict[Path, Header] = field(default_factory=dict, init=False, repr=False)
    _regions: dict[int, list[Region]] = field(default_factory=dict, init=False, repr=False)

    def of(self, split: str) -> pd.DataFrame:
        """The samples of one split, rows numbered from 0."""
        if split not in SPLITS:
            raise ValueError(f"a split is one of {', '.join(SPLITS)}, not {split!r}")
        return self.samples[self.samples["split"] == split].reset_index(drop=True)

    @cached_property
    def bits(self) -> int:
        """The depth of the photographs, `bit_depth` of all of them unless given; read once."""
        if self.given_bits is not None:
            return self.given_bits
        return bit_depth([path for path in self.samples["image"] if self._header(path).deep])

    def images(self, split: str, size: tuple[int, int]) -> torch.Tensor:
        """Photographs of a split resized to `size` (height, width), as float32 (N, 3, height, width) in [0, 1]."""
        return load_images(self.of(split)["image"], size, self.bits)

    def batches(self, split: str, size: tuple[int, int], count: int) -> Iterator[torch.Tensor]:
        """As `images`, `count` photographs at a time: no more of them are in memory."""
        paths = self.of(split)["image"]
        for start in range(0, len(paths), count):
            yield load_images(paths[start : start + count], size, self.bits)

    def sizes(self, split: str | None = None) -> list[tuple[int, int]]:
        """(height, width) of the upright photographs of a split, or of all; the files' headers are read once."""
        paths = self.samples["image"] if split is None else self.of(split)["image"]
        return [self._header(path).size for path in paths]

    def regions(self, i: int) -> list[Region]:
        """Ground-truth regions of test image i, the row i of `of("test")`; [] for a good one or one without mask.

        The masks are read once. Raises `DataError` where a mask is unreadable, of another size than its image, or of
        unexpected values.
        """
        if i not in self._regions:
            sample = self.of("test").iloc[i]
            self._regions[i] = self._read_regions(sample) if sample["has_mask"] else []
        return list(self._regions[i])

    def defects(self) -> list[str]:
        """The defect of every test image: the names of its regions, or else the name of its folder."""
        return [
            ", ".join(sorted({region.defect_name for region in self.regions(i)})) or folder
            for i, folder in enumerate(self.of("test")["defect"])
        ]

    def require(self, *splits: str) -> None:
        """Raise `DataError` if one of the splits has no image."""
        for split in splits:
            if self.of(split).empty:
                raise DataError(f"{self.root}: no {split} images in this category ({self.layout} layout)")

    def check(self, *splits: str) -> None:
        """Read every image and mask of some splits, or of all, and raise one `DataError` that lists every bad file."""
        chosen = self.samples[self.samples["split"].isin(splits or SPLITS)]
        test = int((chosen["split"] == "test").sum())
        bits = None
        problems = []
        try:
            bits = self.bits
        except DataError as error:
            problems.append(str(error))
        steps = [(lambda path: read_image(path, bits), path) for path in chosen["image"]]
        steps += [(self.regions, i) for i in range(test)]
        for read, argument in tqdm(steps, desc=f"checking {self.name}", leave=False, disable=None):
            try:
                read(argument)
            except DataError as error:
                problems.append(str(error))
        if problems:
            # One bad file may be met several times: for its depth, as an image, and for the size of its masks.
            raise_together(f"{self.root}: bad files in this category:", list(dict.fromkeys(problems)))

    def summary(self) -> str:
        """Lines of text: photographs used of files found in every split, depth, sizes, missing masks, copies."""
        sizes = self.sizes()
        heights, widths = (sorted(sides) for sides in zip(*sizes, strict=True))
        measures = f"{heights[0]} x {widths[0]}"
        if len(set(sizes)) > 1:
            measures += f" to {heights[-1]} x {widths[-1]}"
        lines = [f"{self.name} ({self.layout} layout): {self.bits} bit, {measures} pixels (height x width)"]
        folders = self.samples["image"].map(self._folder_of)
        for folder in dict.fromkeys([*folders, *self.unused_files]):
            used = self.samples[folders == folder]
            unused = self.unused_files.get(folder, ())
            parts = [
                f"{len(rows)} {split}" + (f" ({_counts(rows['label'])})" if split == "test" else "")
                for split, rows in used.groupby("split", sort=False)
            ]
            lines.append(f"{folder}: {len(used)} of {len(used) + len(unused)} files used: {', '.join(parts) or 'none'}")
            if unused:
                more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
                lines.append(f"  not used: {', '.join(str(path) for path in unused[:3])}{more}")
        defective = self.samples[self.samples["label"] != "good"]
        if missing := int((~defective["has_mask"]).sum()):
            lines.append(
                f"{missing} of {len(defective)} defective photographs have no mask: metrics that count pixels leave "
                "them out"
            )
        if warning := mixed_orientations(sizes):
            lines.append(f"warning: {warning}")
        if same := copies(self.samples["image"]):
            file, earlier = next(iter(same.items()))
            lines.append(
                f"warning: copies of other photographs: {len(same)} of {len(self.samples)}, {file} of {earlier} for "
                "example; remove them: a detector knows a copy of a training image too well, so that thresholds are "
                "too low, and copies of a test image count several times"
            )
        return "\n".join(lines)

    def _header(self, image: Path) -> Header:
        if image not in self._headers:
            self._headers[image] = read_header(image)
        return self._headers[image]

    def _folder_of(self, image: Path) -> str:
        """The folder of a split as `unused_files` names it."""
        if self.layout in ("photographs", "magnetic_tile"):
            return "photographs"
        return image.relative_to(self.root).parts[0]

    def _read_regions(self, sample: pd.Series) -> list[Region]:
        size = self._header(sample["image"]).size
        if self.layout == "mvtec_loco":
            return read_loco_regions(sample["masks"], size, self.defect_types)
        read = read_binary_regions if self.layout == "mvtec_ad" else read_fringed_regions
        return read(sample["masks"][0], size, sample["defect"])


def _counts(labels: pd.Series) -> str:
    return ", ".join(f"{count} {label}" for label, count in labels.value_counts(sort=False).items())
