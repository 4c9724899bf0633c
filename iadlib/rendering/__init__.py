"""Rendered categories in MVTec LOCO AD layout: photographs of solid geometry whose ground truth is exact.

A category is a module that renders one image at a time (see `flat_connector`); here stands what all of them share:
which images a category has, where their files go, and how an interrupted rendering goes on. An image depends only on
the seed, its split, kind and number, never on what was rendered before it. Its JSON under `scenes/` is written last:
an image is done when that file is there.
"""

import json
import zlib
from importlib import import_module
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

CATEGORIES = {"flat_connector": "iadlib.rendering.flat_connector"}
SMALLEST_WIDTH = 96  # pixels; below it the smallest defects have no pixels to show in
FOLDERS = {  # the keys of counts -> split and kind
    "train": ("train", "good"),
    "validation": ("validation", "good"),
    "good": ("test", "good"),
    "logical": ("test", "logical_anomalies"),
    "structural": ("test", "structural_anomalies"),
}


def render_category(
    name: str,
    out: Path | str,
    *,
    seed: int = 0,
    width: int = 288,
    counts: dict[str, int] | None = None,
    samples: int | None = None,
    progress: bool = True,
) -> Path:
    """Write one category into the folder `out`, or finish it if it was begun there with the same settings.

    `counts` replaces some of the category's own numbers of images (train, validation, good, logical, structural);
    defects take turns, so that counts divisible by their number are balanced. `width` is in pixels, the height
    follows; `samples` are rays per pixel.
    """
    if name not in CATEGORIES:
        raise ValueError(f"unknown category {name!r}; there are: {', '.join(CATEGORIES)}")
    category = import_module(CATEGORIES[name])
    counts = category.COUNTS | (counts or {})
    if unknown := set(counts) - set(FOLDERS):
        raise ValueError(f"unknown counts {sorted(unknown)}; they are named {', '.join(FOLDERS)}")
    if width < SMALLEST_WIDTH:
        raise ValueError(f"a width of {width} pixels is too small to show defects; {SMALLEST_WIDTH} or more")
    samples = samples or category.SAMPLES
    settings = {"category": name, "revision": category.REVISION, "seed": seed, "width": width, "samples": samples}
    out = Path(out)
    plan = [(*FOLDERS[key], index) for key in FOLDERS for index in range(counts[key])]
    todo = [image for image in plan if not _is_done(out, image, settings)]
    _refuse_others(out, plan)
    saturations = {name: saturation for defects in category.DEFECTS.values() for name, saturation in defects.items()}
    pixel_values = {defect: 255 - rank for rank, defect in enumerate(saturations)}
    entries = [{"defect_name": d, "pixel_value": pixel_values[d], **saturations[d]} for d in saturations]
    _write(out / "defects_config.json", json.dumps(entries, indent=4).encode() + b"\n")
    for split, kind, index in tqdm(todo, desc=f"rendering {name}", disable=None if progress else True):
        # A checksum, since Python's own hash of a string differs from run to run.
        rng = np.random.default_rng([seed, zlib.crc32(f"{name}/{split}/{kind}".encode()), index])
        defects = list(category.DEFECTS.get(kind, ()))
        defect = defects[index % len(defects)] if defects else None
        image, region, record = category.render(defect, rng, width, samples)
        identity = f"{index:03d}"
        if region is not None:
            mask = np.where(region, pixel_values[defect], 0).astype(np.uint8)
            _write(out / "ground_truth" / kind / identity / "000.png", _png(mask))
        _write(out / split / kind / f"{identity}.png", _png(image))
        scene = {"settings": settings, "split": split, "kind": kind, "index": index, "defect_name": defect, **record}
        _write(_scene_file(out, (split, kind, index)), json.dumps(scene, indent=1).encode() + b"\n")
    return out


def _scene_file(out: Path, image: tuple[str, str, int]) -> Path:
    split, kind, index = image
    return out / "scenes" / split / kind / f"{index:03d}.json"


def _is_done(out: Path, image: tuple[str, str, int], settings: dict) -> bool:
    file = _scene_file(out, image)
    split, kind, index = image
    files = [file, out / split / kind / f"{index:03d}.png"]
    if kind != "good":
        files.append(out / "ground_truth" / kind / f"{index:03d}" / "000.png")
    if file.is_file() and (found := json.loads(file.read_text())["settings"]) != settings:
        raise ValueError(f"{out} was rendered with {found}, not {settings}: remove the folder or name another one")
    return all(file.is_file() for file in files)


def _refuse_others(out: Path, plan: list[tuple[str, str, int]]) -> None:
    """Images beyond the plan would be read as part of the category."""
    planned = {_scene_file(out, image) for image in plan}
    if others := sorted(set(out.glob("scenes/*/*/*.json")) - planned):
        raise ValueError(
            f"{out} holds {len(others)} more images than asked for, such as {others[0]}: remove the folder"
        )


def _png(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="png")
    return buffer.getvalue()


def _write(file: Path, content: bytes) -> None:
    """Write under another name first, so that an interruption leaves the whole file or none."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}.partial")
        partial.write_bytes(content)
        partial.replace(file)
    except OSError as error:
        raise OSError(f"cannot write {file}: {error}") from error
