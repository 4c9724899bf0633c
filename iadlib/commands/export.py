"""Export a fitted detector as an ONNX model, which needs neither PyTorch nor this package: see docs/export.md.

The model takes images (N, 3, H, W), float32 in [0, 1], of the size that the detector was fitted at. It returns `scores`
(N,) and, where the detector localises, `maps` (N, H, W): backbone, method, upsampling and smoothing are all inside. Its
metadata contain the threshold and how a photograph becomes an image. The model is run by ONNX Runtime before the file
appears, and it must give what the detector gives.
"""

import json
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from iadlib import results
from iadlib.data import find_photographs, load_images
from iadlib.detectors import Detector
from iadlib.detectors.base import smooth_maps
from iadlib.files import require_new, whole_file
from iadlib.parallel import in_parallel
from iadlib.types import Prediction

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
OPSET = 18  # the oldest set of operators that has all those that are used here: old runtimes read the model too
LARGEST_FILE = 2**31 - 2**24  # bytes; 2 GiB are the limit of the format, some of which describe the graph
# Largest difference to PyTorch, relative to the range of the values. Most models stay below a tenth of it; some
# networks amplify rounding, so that PyTorch's own numbers of 32 bit differ as much from those of 64 bit.
TOLERANCE = 1e-3
COARSENESS = (1, 2, 8, 32)  # sides of the squares of one colour in the random images of the check, in pixels
PREPROCESSING = (
    "Turn the photograph upright by its EXIF orientation and convert it to RGB of 8 bit. Resize it to image_width x "
    "image_height with Pillow's Image.resize and Image.Resampling.BILINEAR. Divide by 255. Order the axes as (3, H, W)."
)
RANDOM = (torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal, torch.bernoulli)


class NotExportable(ValueError):
    """A step of the detector's method that ONNX does not have."""


def export(result: str | Path, out: str | Path, check: Sequence[str | Path] = ()) -> float:
    """Write the detector in the folder `result` as an ONNX model, and return its largest difference to PyTorch.

    The two are compared on the photographs `check` (files, folders or patterns), or on random images. If they differ by
    more than TOLERANCE of the range of the values, threshold included, or if the method has a step that ONNX does not
    have, `ValueError` is raised and nothing is written.
    """
    out = require_new(out)
    require_packages()
    folder = results.find_one(result)
    settings = results.read_settings(folder)
    detector = results.load_detector(folder, device="cpu")
    size = tuple(settings["image_size"])
    images = load_images(find_photographs(check), size, settings["bits"]) if check else random_images(size)
    expected = detector.predict(images)
    with whole_file(out) as unfinished:
        any_number = write_model(detector, unfinished, metadata_of(detector, settings))
        found = [run_model(unfinished, images, count) for count in ([1, len(images)] if any_number else [1])]
        difference = float(np.max([compare(expected, each, settings["thresholds"]) for each in found]))  # keeps NaN
        megabytes = unfinished.stat().st_size / 1e6
        if not difference <= TOLERANCE:  # also where it is not a number
            raise ValueError(
                f"{detector.title}: the exported model differs from PyTorch by {difference:.1e} of the range of the "
                f"values, more than {TOLERANCE:g}; nothing was written"
            )
        require_new(out)
    count = "any number of images" if any_number else "one image"
    print(f"{detector.title}: {count} of {size[1]} x {size[0]} pixels at a time; {megabytes:.1f} MB, in {out}")
    source = f"{len(images)} {'photographs' if check else 'random images'}"
    print(f"largest difference to PyTorch on {source}: {difference:.1e} of the range of the values")
    return difference


def require_packages() -> None:
    """Raise `ModuleNotFoundError` unless the optional packages are installed."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise ModuleNotFoundError(f"exporting needs {', '.join(missing)}: pip install 'iadlib[onnx]'")


def random_images(size: tuple[int, int]) -> Tensor:
    """Seeded random images (N, 3, height, width), from fine to coarse."""
    generator = torch.Generator().manual_seed(0)
    images = []
    for side in COARSENESS:
        grid = [-(-length // side) for length in size]
        colours = torch.rand(1, 3, *grid, generator=generator)
        images.append(F.interpolate(colours, scale_factor=side)[..., : size[0], : size[1]])
    return torch.cat(images)


def metadata_of(detector: Detector, settings: dict) -> dict[str, str]:
    """What somebody who has nothing but the model needs to know to use it."""
    height, width = settings["image_size"]
    thresholds = settings["thresholds"]
    values = {
        "title": detector.title,
        "detector": settings["detector"],
        "hyperparameters": json.dumps(settings["hyperparameters"]),
        "iadlib": settings["versions"]["iadlib"],
        "image_height": height,
        "image_width": width,
        "image_range": "0 to 1",
        "preprocessing": PREPROCESSING,
        "bits": settings["bits"],
        "threshold": thresholds["image"],
        "threshold_meaning": "a score above the threshold is anomalous",
        "false_positive_rate": settings["false_positive_rate"],
        "validation_images": thresholds["validation_images"],
    }
    if settings["map_range"] is not None:
        low, high = settings["map_range"]
        values |= {"pixel_threshold": thresholds["pixel"], "map_low": low, "map_high": high}
    return {name: value if isinstance(value, str) else repr(value) for name, value in values.items()}


def write_model(detector: Detector, path: Path, metadata: dict[str, str]) -> bool:
    """Write a fitted detector as an ONNX model, and return whether it takes any number of images at a time.

    Otherwise it takes one image at a time. Raises `NotExportable` with the step that ONNX does not have.
    """
    state = sum(tensor.nbytes for tensor in detector.state_dict().values())
    if state > LARGEST_FILE:
        raise NotExportable(
            f"{detector.title} cannot be exported: what it has learned takes {state / 1e9:.1f} GB, "
            f"and an ONNX file holds 2 GB"
        )
    # The exporter starts threads of automatic differentiation, after which a process cannot fork to fit detectors.
    [any_number] = in_parallel(_write, [(detector, path, metadata)], "exporting", apart=True)
    return any_number


def _write(detector: Detector, path: Path, metadata: dict[str, str]) -> bool:
    try:
        model = Scoring(detector)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch's exporter, about its own parts
            traced, any_number = _traced(model, detector.image_size_)
            outputs = ["scores", "maps"] if detector.localises else ["scores"]
            program = torch.onnx.export(
                traced, verbose=False, opset_version=OPSET, input_names=["images"], output_names=outputs
            )
            program.model.metadata_props.update(metadata | {"images_at_a_time": "any number" if any_number else "1"})
            program.save(path, external_data=False)
    except OSError:
        raise
    except Exception as error:  # the exporter raises errors of many types
        reason = str(error) if isinstance(error, NotExportable) else _first_cause(error)
        raise NotExportable(f"{detector.title} cannot be exported: {reason}") from error
    return any_number


def _traced(model: "Scoring", size: tuple[int, int]) -> tuple[torch.export.ExportedProgram, bool]:
    """The graph of the model, and whether it takes any number of images; else it takes one.

    A method that asks for the number of images with `len`, which no graph contains, has a graph for one number alone.
    """
    two = torch.zeros(2, 3, *size)
    try:
        dynamic = {"images": {0: torch.export.Dim("images")}}
        return torch.export.export(model, (two,), dynamic_shapes=dynamic, strict=False), True
    except torch._dynamo.exc.UserError:
        return torch.export.export(model, (two[:1],), strict=False), False


def _first_cause(error: BaseException) -> str:
    """The sentence of the exporter that says what it cannot convert."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}".splitlines()[0]


class Scoring(nn.Module):
    """Images (N, 3, H, W) in, scores (N,) and maps (N, H, W) out: the detector's method as a graph of tensors alone."""

    def __init__(self, detector: Detector):
        super().__init__()
        self.detector, self.operators = detector, Operators()
        images = torch.zeros(1, 3, *detector.image_size_)
        detector.predict(images)  # what is computed once and kept belongs to the weights, not to the graph
        with torch.inference_mode(), self.operators:
            dict(detector.stations(images))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        with self.operators:
            values = dict(self.detector.stations(images))
        if not self.detector.localises:
            return (values["image_scores"].float(),)
        maps = smooth_maps(values["scores"], images.shape[-2:], self.detector.smoothing_sigma)  # (N, H, W)
        scores = values["image_scores"] if "image_scores" in values else self.detector.score_of(maps)
        return scores.float(), maps


class Operators(TorchFunctionMode):
    """While it is active, operators that ONNX does not have are replaced by others, and the remaining ones refused.

    The inverse of a triangular matrix and a tensor as a list or in pieces are computed once for each tensor. For
    learned tensors this is in the first pass, which is not traced: the graph contains the results as constants.
    """

    def __init__(self):
        super().__init__()
        self.kept: dict[tuple, tuple[Tensor, Any]] = {}  # a tensor is kept with what it gave: its id stays its own

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if function in RANDOM:
            raise NotExportable("it draws random numbers for every image, and ONNX cannot draw the same ones")
        if function is Tensor.numpy:
            raise NotExportable("it computes with NumPy or SciPy on every image, outside of PyTorch")
        if function is Tensor.tolist:
            return self._once(function, *args)
        if function is torch.linalg.solve_triangular:
            matrix, right = args
            return self._once(inverse_of_triangular, matrix, kwargs["upper"]) @ right
        if function is torch.hypot:
            first, second = args
            return (first.square() + second.square()).sqrt()
        if function is Tensor.split and isinstance(args[1], int) and kwargs.get("dim", 0) == 0:
            return (args[0],)  # blocks of rows save memory; all rows at once are the same, and their number is free
        if function in (Tensor.split, Tensor.unflatten):
            return self._once(function, *args, **kwargs)
        return function(*args, **kwargs)

    def _once(self, function: Any, tensor: Tensor, *options: Any, **named: Any) -> Any:
        key = function, id(tensor), repr(options), repr(named)
        if key not in self.kept:
            self.kept[key] = tensor, function(tensor, *options, **named)
        return self.kept[key][1]


def inverse_of_triangular(matrix: Tensor, upper: bool) -> Tensor:
    """Computed in double precision."""
    identity = torch.eye(matrix.shape[-1], dtype=torch.float64)
    return torch.linalg.solve_triangular(matrix.double(), identity, upper=upper).float()


def run_model(path: Path, images: Tensor, batch_size: int = 1) -> Prediction:
    """What ONNX Runtime makes of images (N, 3, H, W), `batch_size` at a time."""
    import onnxruntime  # here, because it is optional

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    parts = [session.run(None, {"images": batch.numpy()}) for batch in images.split(batch_size)]
    return Prediction.concatenated([Prediction(scores, *(maps or [None])) for scores, *maps in parts])


def compare(expected: Prediction, found: Prediction, thresholds: dict[str, float]) -> float:
    """The largest difference of scores and of maps, relative to the range of expected values and threshold."""

    def largest(values: np.ndarray, others: np.ndarray, threshold: float) -> float:
        return float(np.abs(values - others).max() / np.ptp(np.append(values, threshold)))

    of_scores = largest(expected.scores, found.scores, thresholds["image"])
    if expected.maps is None:
        return of_scores
    return float(np.maximum(of_scores, largest(expected.maps, found.maps, thresholds["pixel"])))  # keeps NaN
