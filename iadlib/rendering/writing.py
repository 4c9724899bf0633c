"""The folder of a rendered category: images, masks and scene descriptions, written image by image.

An image depends only on the seed, its split, kind and number, never on the images before it. Processes can therefore
share the work, and an interrupted rendering can be resumed. The JSON file of an image below `scenes/` is written last
and marks the image as complete.
"""

import json
import zlib
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from PIL import Image
from tqdm import tqdm

from iadlib.files import PARTIAL, whole_file, write_json
from iadlib.parallel import cores
from iadlib.rendering.category import RenderedCategory

# The modules, in the order of the study's tables.
CATEGORIES = ("flat_connector", "pushpins", "fastener_kit", "juice_bottle", "splicing_connectors", "metal_nut")
ON_HARDER_GROUND = ("flat_connector_folds", "flat_connector_mat")  # the flat connector's scenes on uneven grounds
SMALLEST_WIDTH = 96  # pixels; in narrower images the smallest defects are not visible
QUALITY = 90  # of JPEG photographs
ENOUGH_FOR_TWO = 12  # images; starting another process takes longer than rendering fewer
LICENCE = "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/"


class Planned(NamedTuple):
    """One image to be rendered: `number` is its name in the folder `folder` of its split."""

    split: str
    kind: str
    folder: str
    number: int
    defect: str | None

    @property
    def stem(self) -> str:
        return f"{self.split}/{self.folder}/{self.number:03d}"


def rendered_category(name: str) -> RenderedCategory:
    """The category of that name."""
    if name not in (*CATEGORIES, *ON_HARDER_GROUND):
        raise ValueError(f"unknown category {name!r}; there are: {', '.join((*CATEGORIES, *ON_HARDER_GROUND))}")
    return import_module(f"iadlib.rendering.{name}").CATEGORY


def render_category(
    name: str,
    out: Path | str,
    *,
    seed: int = 0,
    scale: str = "default",
    width: int | None = None,
    counts: dict[str, int] | None = None,
    samples: int | None = None,
    difficulty: dict[str, tuple[float, float]] | None = None,
) -> Path:
    """Write one category into the folder `out`, or resume a rendering with the same settings there.

    `scale` is one of the category's sizes; `width` (in pixels, the height follows) and `counts` (train, validation,
    good, logical, structural) replace parts of it. Defects take turns, so that counts divisible by their number are
    balanced. `samples` are rays per pixel. `difficulty` replaces ranges from which defects are drawn.
    """
    category = rendered_category(name)
    if scale not in category.scales:
        raise ValueError(f"unknown scale {scale!r}; there are: {', '.join(category.scales)}")
    size = category.scales[scale]
    counts = size.counts | (counts or {})
    if unknown := set(counts) - set(size.counts):
        raise ValueError(f"unknown counts {sorted(unknown)}; {name} has the counts {', '.join(size.counts)}")
    width = size.width if width is None else width
    samples = category.samples if samples is None else samples
    if samples < 1:
        raise ValueError(f"samples {samples}: 1 or more rays per pixel are expected")
    if width < SMALLEST_WIDTH:
        raise ValueError(f"a width of {width} pixels is too small to show defects; {SMALLEST_WIDTH} is the smallest")
    category.with_difficulty(difficulty or {})
    settings = {"category": name, "revision": category.revision, "seed": seed, "width": width, "samples": samples}
    settings["difficulty"] = {name: list(ends) for name, ends in (difficulty or {}).items()}
    out, plan = Path(out), plan_of(category, counts)
    missing = [image for image in plan if not _is_complete(out, image, category.layout, settings)]
    _refuse_other_images(out, plan)
    for interrupted in out.rglob(f".*{PARTIAL}*"):
        interrupted.unlink()
    if category.layout == "mvtec_loco":
        entries = [_defect_entry(category, defect, width) for defect in category.defects]
        _write_text(out / "defects_config.json", json.dumps(entries, indent=4) + "\n")
    _write_text(out / "README.md", _readme(name, category))
    processes = min(cores(), max(1, len(missing) // ENOUGH_FOR_TWO))
    work = Parallel(processes, return_as="generator_unordered")(
        delayed(_render)(out, image, settings, single_thread=processes > 1) for image in missing
    )
    for _ in tqdm(work, desc=f"rendering {name}", total=len(missing), disable=None):
        pass
    return out


def plan_of(category: RenderedCategory, counts: dict[str, int]) -> list[Planned]:
    """All images of a category. The layout of MVTec AD has no validation split, and a folder for every defect."""
    plan = [
        Planned(split, "good", "good", number, None)
        for key, split in (("train", "train"), ("validation", "validation"), ("good", "test"))
        for number in range(counts.get(key, 0))
    ]
    for kind in ("logical_anomalies", "structural_anomalies"):
        defects = category.defects_of(kind)
        for index in range(counts.get(kind.removesuffix("_anomalies"), 0)):
            turn, defect = index // len(defects), defects[index % len(defects)]
            folder, number = (kind, index) if category.layout == "mvtec_loco" else (defect, turn)
            plan.append(Planned("test", kind, folder, number, defect))
    return plan


def _render(out: Path, image: Planned, settings: dict, single_thread: bool) -> None:
    if single_thread:
        import drjit

        drjit.set_thread_count(1)
    category = rendered_category(settings["category"])
    # A checksum instead of Python's hash of a string, which differs between runs.
    draws_of = category.paired_with or settings["category"]
    stream = zlib.crc32(f"{draws_of}/{image.split}/{image.folder}".encode())
    rng = np.random.default_rng([settings["seed"], stream, image.number])
    difficulty = category.with_difficulty(settings["difficulty"])
    width, samples = settings["width"], settings["samples"]
    pixels, region, record = category.render_image(image.defect, rng, width, samples, difficulty)
    if region is not None:
        value = 255 if category.layout == "mvtec_ad" else _pixel_value(category, image.defect)
        _write_image(_mask_file(out, image, category.layout), np.where(region, value, 0).astype(np.uint8))
    _write_image(out / f"{image.stem}.jpg", pixels)
    breaks = image.defect and category.defects[image.defect].breaks
    scene = {"settings": settings, "split": image.split, "kind": image.kind, "index": image.number}
    write_json(_scene_file(out, image), {**scene, "defect_name": image.defect, "breaks": breaks, **record})


def _pixel_value(category: RenderedCategory, defect: str) -> int:
    return 255 - list(category.defects).index(defect)


def _defect_entry(category: RenderedCategory, name: str, width: int) -> dict:
    defect, entry = category.defects[name], {"defect_name": name, "pixel_value": _pixel_value(category, name)}
    if defect.saturation_mm2 is None:
        return entry | {"saturation_threshold": defect.saturation_share, "relative_saturation": True}
    pixels = round(defect.saturation_mm2 * category.camera(width).pixels_per_mm ** 2)
    return entry | {"saturation_threshold": max(1, pixels), "relative_saturation": False}


def _scene_file(out: Path, image: Planned) -> Path:
    return out / "scenes" / f"{image.stem}.json"


def _mask_file(out: Path, image: Planned, layout: str) -> Path:
    folder = out / "ground_truth" / image.folder
    return folder / (f"{image.number:03d}_mask.png" if layout == "mvtec_ad" else f"{image.number:03d}/000.png")


def _is_complete(out: Path, image: Planned, layout: str, settings: dict) -> bool:
    file = _scene_file(out, image)
    files = [file, out / f"{image.stem}.jpg"]
    if image.defect is not None:
        files.append(_mask_file(out, image, layout))
    if file.is_file() and (found := json.loads(file.read_text())["settings"]) != settings:
        raise ValueError(f"{out} was rendered with {found}, not {settings}: remove the folder or choose another one")
    return all(file.is_file() for file in files)


def _refuse_other_images(out: Path, plan: list[Planned]) -> None:
    """Raise if there are images that are not planned, since they would be read as part of the category."""
    planned = {_scene_file(out, image) for image in plan}
    if others := sorted(set(out.glob("scenes/*/*/*.json")) - planned):
        raise ValueError(
            f"{out} holds {len(others)} more images than asked for, such as {others[0]}: remove the folder"
        )


def _readme(name: str, category: RenderedCategory) -> str:
    rules = "".join(f"- {rule.text} (`{key}`)\n" for key, rule in category.rules.items())
    defects = "".join(f"- `{key}`: {defect.text}\n" for key, defect in category.defects.items())
    return (
        f"# {name}\n\nRendered by `python -m iadlib render {name}`; licence of the images: {LICENCE}. "
        f"`scenes/` holds a description of every image.\n\n## Rules\n\n{rules}\n## Defects\n\n{defects}"
    )


def _write_image(path: Path, pixels: np.ndarray) -> None:
    """A JPEG photograph or a PNG mask, by the ending of the name."""
    with whole_file(path) as unfinished:
        Image.fromarray(pixels).save(unfinished, quality=QUALITY)


def _write_text(path: Path, text: str) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_text(text)
