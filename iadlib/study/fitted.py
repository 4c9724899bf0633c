"""Detectors with the settings of a profile, fitted and kept by the benchmark or fitted here, for other images."""

from pathlib import Path

from torch import Tensor

from iadlib.data import Category, fit_size, image_sizes, load_images
from iadlib.detectors import Detector, create
from iadlib.params import read_blocks
from iadlib.study.folders import ROOT


def settings_of(profile: str, method: str) -> dict:
    """`image_size` and `hyperparameters` of a method in a profile."""
    return read_blocks(f"{ROOT / 'params/methods' / method}.yaml:common,{profile}")


def fitted(profile: str, method: str, artifacts: str | Path) -> dict[int, Detector]:
    """By seed, from the folder of a category's artifacts."""
    hyperparameters, found = settings_of(profile, method)["hyperparameters"], {}
    for path in sorted((ROOT / artifacts / method).glob("detector-*.safetensors")):
        seed = int(path.stem.rpartition("-")[2])
        found[seed] = create(method, **hyperparameters, seed=seed)
        found[seed].load(path)
    return found


def fit(profile: str, method: str, category: Category, seed: int = 0) -> dict[int, Detector]:
    """The method fitted afresh, as `fitted` returns it."""
    normal = (images_for(profile, method, list(category.of(split)["image"])) for split in ("train", "validation"))
    return {seed: create(method, **settings_of(profile, method)["hyperparameters"], seed=seed).fit(*normal)}


def images_for(profile: str, method: str, paths: list[str | Path]) -> Tensor:
    """Photographs (N, 3, H, W) at the size that a method works on."""
    return load_images(paths, fit_size(image_sizes(paths), settings_of(profile, method)["image_size"]))
