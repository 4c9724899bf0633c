"""The interface of a rendered category, and the rendering of one of its images.

A category is a module with a `CATEGORY`: the rules that its normal images obey, its defects, each with the rule that it
breaks, its sizes, and four functions. Each function takes what the function before it returned:

1. `normal(rng)`: a scene that obeys every rule, as numbers and names that JSON can hold;
2. `add_defect(scene, defect, rng, difficulty)`: a copy with one anomaly; its key "defect" describes the anomaly;
3. `region(scene, intact, camera)`: the pixels that ground truth marks;
4. `shapes(scene, rng)`: the Mitsuba shapes in front of the camera, and the numbers drawn for their surfaces.

A rule is a function of the scene alone. Rules can therefore be checked on the JSON beside every image, without the
renderer.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import KW_ONLY, asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from iadlib.rendering import scene as recording
from iadlib.rendering.scene import Camera, Light

SMALLEST_REGION = 6  # pixels; an anomaly with a smaller region is drawn again
DRAWS = 100  # of an anomaly, before an error
ATTEMPTS = 20_000  # at drawing one object that has to fit


def attempts(wanted: str) -> Iterator[int]:
    """Numbers for a loop that draws until it succeeds; a ValueError ends a loop that never does."""
    yield from range(ATTEMPTS)
    raise ValueError(f"no {wanted} in {ATTEMPTS} draws: choose an easier range of difficulty")


@dataclass(frozen=True)
class Rule:
    """A rule that every normal scene obeys: its text, and a function that tells whether a scene obeys it."""

    text: str
    holds: Callable[[dict], bool]


@dataclass(frozen=True)
class Defect:
    """One kind of anomaly.

    `breaks` names the one rule that a logical anomaly breaks; a structural anomaly breaks none. The defect counts as
    found when `saturation_share` of the marked region is found or, where it is given, `saturation_mm2`, an area in the
    plane z = 0.
    """

    text: str
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


@dataclass(frozen=True)
class RenderedCategory:
    """A category as the docstring of this module describes it.

    `revision`: raise it whenever the images change, so that a folder of an older revision is not resumed.
    `field`: width and height of the part of the plane z = 0 that the camera sees, in mm.
    `difficulty`: a frozen dataclass of the ranges from which defects are drawn.
    `tracer`: further arguments of `scene.radiance`.
    `layout`: "mvtec_loco", or "mvtec_ad" for a category without logical anomalies.
    `paired_with`: the category whose random draws this one repeats, so that each image differs from that of the other
    category only in what `shapes` makes of the scene; "" for independent draws.
    """

    rules: dict[str, Rule]
    defects: dict[str, Defect]
    difficulty: Any
    normal: Callable[[np.random.Generator], dict]
    add_defect: Callable[[dict, str, np.random.Generator, Any], dict]
    region: Callable[[dict, dict, Camera], np.ndarray]
    shapes: Callable[[dict, np.random.Generator], tuple[list, dict]]
    _: KW_ONLY
    revision: int
    field: tuple[float, float]
    scales: dict[str, Scale]
    light: Callable[[np.random.Generator], Light] = recording.vary_light
    tracer: dict = field(default_factory=dict)
    samples: int = 8  # rays per pixel; even, since half of them are traced to each of the two lights
    layout: str = "mvtec_loco"
    paired_with: str = ""

    def camera(self, width: int) -> Camera:
        return Camera(width, round(width * self.field[1] / self.field[0]), self.field[0])

    def broken_rules(self, scene: dict) -> list[str]:
        """The names of the rules that a scene breaks."""
        return [name for name, rule in self.rules.items() if not rule.holds(scene)]

    def defects_of(self, kind: str) -> list[str]:
        return [name for name, defect in self.defects.items() if defect.kind == kind]

    def with_difficulty(self, ranges: dict[str, tuple[float, float]]) -> Any:
        """The category's difficulty with some of its ranges replaced."""
        known = [entry.name for entry in fields(self.difficulty)]
        if unknown := sorted(set(ranges) - set(known)):
            raise ValueError(f"unknown range of difficulty {unknown[0]!r}; the ranges are {', '.join(known)}")
        for name, ends in ranges.items():
            pair = isinstance(ends, list | tuple) and len(ends) == 2 and all(isinstance(e, int | float) for e in ends)
            if not pair or not 0 <= ends[0] <= ends[1]:
                raise ValueError(f"difficulty {name}: two numbers are expected, the smaller first, not {ends}")
            if ends[0] == 0 < getattr(self.difficulty, name)[0]:
                raise ValueError(f"difficulty {name}: the range {ends} must start above 0, or defects have no size")
        return replace(self.difficulty, **{name: tuple(ends) for name, ends in ranges.items()})

    def render_image(
        self, defect: str | None, rng: np.random.Generator, width: int, samples: int, difficulty: Any
    ) -> tuple[np.ndarray, np.ndarray | None, dict]:
        """The image (H, W, 3) uint8, the region (H, W) of the defect or None, and the scene with all numbers drawn."""
        scene_rng, defect_rng, surfaces_rng, light_rng, sensor_rng = rng.spawn(5)
        camera, light = self.camera(width), self.light(light_rng)

        def photograph(scene: dict) -> tuple[np.ndarray, dict]:
            """The image of a scene and all numbers drawn, with the same draws at every call."""
            shapes, surfaces = self.shapes(scene, deepcopy(surfaces_rng))
            noise_rng = deepcopy(sensor_rng)
            seed = int(noise_rng.integers(2**31))
            radiance = recording.radiance(camera, shapes, light, samples, seed, **self.tracer)
            image, sensor = recording.photograph(radiance, noise_rng)
            return image, {**scene, "surfaces": surfaces, "light": asdict(light), "sensor": sensor}

        intact = self.normal(scene_rng)
        if defect is None:
            image, record = photograph(intact)
            return image, None, record
        scene, region = self._with_visible_defect(intact, defect, defect_rng, difficulty, camera)
        image, record = photograph(scene)
        record["defect"] = scene["defect"] | recording.visible(image, photograph(intact)[0], region)
        return image, region, record

    def _with_visible_defect(self, intact, defect, rng, difficulty, camera):
        for _ in range(DRAWS):
            scene = self.add_defect(intact, defect, rng, difficulty)
            region = self.region(scene, intact, camera)
            if region.sum() >= SMALLEST_REGION:
                return scene, region
        raise ValueError(f"{defect} is not visible in any of {DRAWS} draws: choose an easier range of difficulty")
