"""What a rendered category states about itself, and how one of its images comes about.

A category is a module whose `CATEGORY` says everything: the rules that its normal images obey, the defects, each with
the rule that it breaks, the sizes, and four functions, each of which takes what the one before returned:

1. `normal(rng)`: a scene that obeys every rule, as numbers and names that JSON can hold;
2. `spoil(scene, defect, rng, difficulty)`: a copy with one anomaly; its key "defect" describes the anomaly in numbers;
3. `region(scene, intact, camera)`: the pixels that ground truth marks;
4. `things(scene, rng)`: solids with materials, for the camera to see, and what was drawn for their surfaces.

Rules are questions to the scene alone. So they can be checked on the JSON beside every image, without the renderer.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from iadlib.rendering import scene as recording
from iadlib.rendering.scene import Camera, Light

SMALLEST_REGION = 6  # pixels; an anomaly that shows less is drawn again
DRAWS = 100  # of an anomaly, before its category is found to be at fault
ATTEMPTS = 20_000  # at drawing one thing that has to fit


def attempts(what: str) -> Iterator[int]:
    """Numbers for a loop that draws until it succeeds, and one error where it never does."""
    yield from range(ATTEMPTS)
    raise ValueError(f"no {what} in {ATTEMPTS} draws: the difficulty is out of reach")


@dataclass(frozen=True)
class Rule:
    """What every normal scene obeys: a sentence, and whether it holds of a scene."""

    says: str
    holds: Callable[[dict], bool]


@dataclass(frozen=True)
class Defect:
    """One kind of anomaly.

    `breaks` names the one rule that a logical anomaly breaks; a structural one breaks none. Of the marked region,
    `saturation_share` suffices to have found it or, where that is given, `saturation_mm2`, an area in the plane z = 0.
    """

    says: str
    breaks: str | None = None
    saturation_share: float = 1.0
    saturation_mm2: float | None = None

    @property
    def kind(self) -> str:
        return "structural_anomalies" if self.breaks is None else "logical_anomalies"


@dataclass(frozen=True)
class Scale:
    """Width in pixels (the height follows), and numbers of images: train, validation, good, logical, structural."""

    width: int
    counts: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class RenderedCategory:
    """See the module. `field` is what the camera sees of the plane z = 0, in mm, width and height.

    `revision`: a folder rendered by another one is not resumed; raise it whenever the pictures change. `difficulty` is
    a frozen dataclass of the ranges from which defects are drawn. `layout` is "mvtec_loco", or "mvtec_ad" for a
    category without logical anomalies. `paired_with` names the category whose random draws this one repeats, so that
    image for image all is as there but for what `things` makes of them; "" for draws of its own.
    """

    revision: int
    field: tuple[float, float]
    rules: dict[str, Rule]
    defects: dict[str, Defect]
    scales: dict[str, Scale]
    difficulty: Any
    normal: Callable[[np.random.Generator], dict]
    spoil: Callable[[dict, str, np.random.Generator, Any], dict]
    region: Callable[[dict, dict, Camera], np.ndarray]
    things: Callable[[dict, np.random.Generator], tuple[list, dict]]
    light: Callable[[np.random.Generator], Light] = recording.vary_light
    tracer: dict = field(default_factory=dict)  # further arguments of `scene.radiance`
    samples: int = 16
    layout: str = "mvtec_loco"
    paired_with: str = ""

    def camera(self, width: int) -> Camera:
        return Camera(width, round(width * self.field[1] / self.field[0]), self.field[0])

    def broken(self, scene: dict) -> list[str]:
        """The names of the rules that a scene breaks."""
        return [name for name, rule in self.rules.items() if not rule.holds(scene)]

    def defects_of(self, kind: str) -> list[str]:
        return [name for name, defect in self.defects.items() if defect.kind == kind]

    def with_difficulty(self, ranges: dict[str, tuple[float, float]]) -> Any:
        """The category's difficulty with some of its ranges replaced."""
        known = [entry.name for entry in fields(self.difficulty)]
        if unknown := sorted(set(ranges) - set(known)):
            raise ValueError(
                f"no range {unknown[0]!r} in the difficulty of this category; there are {', '.join(known)}"
            )
        for name, ends in ranges.items():
            pair = isinstance(ends, list | tuple) and len(ends) == 2 and all(isinstance(e, int | float) for e in ends)
            if not pair or not 0 <= ends[0] <= ends[1]:
                raise ValueError(f"the range {name} is two numbers, the smaller first, not {ends}")
            if ends[0] == 0 < getattr(self.difficulty, name)[0]:
                raise ValueError(f"the range {name} starts above 0, not at {ends}: a defect of no size is none")
        return replace(self.difficulty, **{name: tuple(ends) for name, ends in ranges.items()})

    def photograph(
        self, defect: str | None, rng: np.random.Generator, width: int, samples: int, difficulty: Any
    ) -> tuple[np.ndarray, np.ndarray | None, dict]:
        """The image (H, W, 3) uint8, the defect's region (H, W) or None, and the scene with all that was drawn."""
        for_scene, for_defect, for_surfaces, for_light, for_sensor = rng.spawn(5)
        camera = self.camera(width)
        scene, region = self.normal(for_scene), None
        if defect is not None:
            scene, region = self._with_defect(scene, defect, for_defect, difficulty, camera)
        shapes, surfaces = self.things(scene, for_surfaces)
        light = self.light(for_light)
        seed = int(for_sensor.integers(2**31))
        radiance = recording.radiance(camera, shapes, light, samples, seed, **self.tracer)
        image, sensor = recording.photograph(radiance, for_sensor)
        record = {**scene, "surfaces": surfaces, "light": asdict(light), "sensor": sensor}
        if region is not None:
            record["defect"] = {**scene["defect"], **recording.visible(image, region)}
        return image, region, record

    def _with_defect(self, intact, defect, rng, difficulty, camera):
        for _ in range(DRAWS):
            scene = self.spoil(intact, defect, rng, difficulty)
            region = self.region(scene, intact, camera)
            if region.sum() >= SMALLEST_REGION:
                return scene, region
        raise ValueError(f"{defect} does not show in any of {DRAWS} draws: its difficulty is out of reach")
