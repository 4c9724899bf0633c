"""Artificial anomalies of composition: normal images in which something is missing, doubled, exchanged or out of place.

Which members of an ensemble are of use depends on the parts at hand, and no anomalous images are given to find out.
Artificial anomalies take their place: the weight of a member's scores follows from how well they tell these images from
the normal validation images, and that of its maps from how well they show the changed places (`weights_of`), as in
CAWPE (see `output`), where weights follow from the accuracy on labelled images.

Every anomaly is a box of the image, which is replaced by

- removed: what lies around it, interpolated from one edge of the box to the opposite one;
- doubled: another box of the same image;
- exchanged: the same box of another normal image, larger than the others, since aligned images differ little;
- displaced: a thin box of the same image, brighter or darker, as the scar of CutPaste (Li et al., "CutPaste:
  Self-Supervised Learning for Anomaly Detection and Localization", CVPR 2021, arXiv:2104.04015), but not rotated.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from iadlib.metrics.detection import image_auroc
from iadlib.metrics.localisation import au_pro
from iadlib.types import Prediction, Region

SIDES = (0.08, 0.35)  # of a box, relative to the image's
LARGE_SIDES = (0.2, 0.6)
SCAR_LENGTHS, SCAR_WIDTHS = (8, 20), (2, 6)  # pixels
BRIGHTNESS = (0.7, 1.3)
SOFT_EDGE = 5  # side of the window, in pixels, that averages the weight of a box inside of it
CAWPE_POWER = 4  # the exponent of the weight of scores, as published
MAP_POWER = 8  # of the weight of maps: on development data, better than 4 for maps and about as good as 12
LEAST_WEIGHT = 1e-6  # something must remain where no member sees any of the anomalies
VISIBLE = 0.04  # of the range of images: a smaller difference is hardly seen
MAP_FPR = 0.05  # up to which the study judges maps, too
MOST_IMAGES = 64  # that are changed: enough for a weight, and members take a while for each

Box = tuple[int, int, int, int]  # top, left, height, width


def changed_compositions(images: Tensor, seed: int = 0) -> Tensor:
    """Four artificial anomalies of each of up to 64 images (N, 3, H, W): (4 N, 3, H, W), one kind after another.

    They depend on the images and `seed` alone, and are on the CPU. Raises `ValueError` for fewer than two images.
    """
    if len(images) < 2:
        raise ValueError(f"{len(images)} image: parts are exchanged between two or more")
    draw = Draw(seed)
    chosen = images[:MOST_IMAGES].cpu()
    others = chosen.roll(1, dims=0)
    changes: list[Callable[[Tensor, Tensor], Tensor]] = [draw.removed, draw.doubled, draw.exchanged, draw.displaced]
    pairs = list(zip(chosen, others, strict=False))
    return torch.stack([change(image, other) for change in changes for image, other in pairs])


def changed_places(artificial: Tensor, images: Tensor) -> np.ndarray:
    """Which pixels of `changed_compositions(images)` differ visibly from those of the normal images: (M, H, W) bool."""
    normal = images[:MOST_IMAGES].cpu()
    changed = [(kind - normal).abs().amax(dim=1) > VISIBLE for kind in artificial.split(len(normal))]
    return torch.cat(changed).numpy()


def weights_of(normal: Prediction, artificial: Prediction, places: np.ndarray) -> tuple[float, float]:
    """The weights of a member's scores and of its maps, from its predictions of normal and of artificial images.

    They are (2 A - 1)^4 for an AUROC A above 0.5 of the scores, and P^8 for an AU-PRO P, up to a false positive rate of
    5 %, of the changed `places` (M, H, W); 0.000001 at least, and for maps that do not exist.
    """
    labels = np.repeat([False, True], [len(normal.scores), len(artificial.scores)])
    separation = 2 * image_auroc(np.concatenate([normal.scores, artificial.scores]), labels) - 1
    overlap = 0.0
    if normal.maps is not None and places.any():
        regions = [[Region(mask, int(mask.sum()))] if mask.any() else [] for mask in places]
        overlap = au_pro([*normal.maps, *artificial.maps], [[]] * len(normal.maps) + regions, MAP_FPR)
    weights = max(0.0, separation) ** CAWPE_POWER, overlap**MAP_POWER
    return tuple(max(LEAST_WEIGHT, weight) for weight in weights)


class Draw:
    """The kinds of anomalies: every method takes an image (3, H, W) and another one, and returns a changed copy."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)

    def removed(self, image: Tensor, _: Tensor) -> Tensor:
        top, left, height, width = box = self._box(image, SIDES)
        down = torch.linspace(0, 1, height)[:, None]
        right = torch.linspace(0, 1, width)
        rows = slice(top, top + height)
        columns = slice(left, left + width)
        below, after = min(top + height, image.shape[1] - 1), min(left + width, image.shape[2] - 1)
        vertical = torch.lerp(image[:, max(top - 1, 0), None, columns], image[:, below, None, columns], down)
        horizontal = torch.lerp(image[:, rows, max(left - 1, 0), None], image[:, rows, after, None], right)
        return _replaced(image, (vertical + horizontal) / 2, box)

    def doubled(self, image: Tensor, _: Tensor) -> Tensor:
        box = self._box(image, SIDES)
        return _replaced(image, _part(image, self._place(image, *box[2:])), box)

    def exchanged(self, image: Tensor, other: Tensor) -> Tensor:
        box = self._box(image, LARGE_SIDES)
        return _replaced(image, _part(other, box), box)

    def displaced(self, image: Tensor, _: Tensor) -> Tensor:
        sides = round(self._between(SCAR_LENGTHS)), round(self._between(SCAR_WIDTHS))
        size = sides if self._between((0, 1)) < 0.5 else sides[::-1]
        size = [min(side, whole) for side, whole in zip(size, image.shape[1:], strict=True)]
        scar = _part(image, self._place(image, *size)) * self._between(BRIGHTNESS)
        return _replaced(image, scar.clamp(max=1), self._place(image, *size), soft=False)

    def _box(self, image: Tensor, sides: tuple[float, float]) -> Box:
        return self._place(image, *(max(1, round(self._between(sides) * whole)) for whole in image.shape[1:]))

    def _place(self, image: Tensor, height: int, width: int) -> Box:
        """A box of that size anywhere in the image."""
        free = image.shape[1] - height, image.shape[2] - width
        return round(self._between((0, free[0]))), round(self._between((0, free[1]))), height, width

    def _between(self, limits: tuple[float, float]) -> float:
        low, high = limits
        return low + (high - low) * float(torch.rand((), generator=self.generator))


def _part(image: Tensor, box: Box) -> Tensor:
    top, left, height, width = box
    return image[:, top : top + height, left : left + width]


def _replaced(image: Tensor, content: Tensor, box: Box, soft: bool = True) -> Tensor:
    """The image with `content` (3, h, w) in the box, with soft edges inside of it."""
    weight = torch.ones(1, 1, *content.shape[1:])
    if soft:
        weight = F.avg_pool2d(weight, SOFT_EDGE, stride=1, padding=SOFT_EDGE // 2)
    changed = image.clone()
    _part(changed, box).lerp_(content, weight[0])
    return changed
