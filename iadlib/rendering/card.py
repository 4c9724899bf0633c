"""The data set card of the rendered categories: rules, defects, counts, limitations and pictures."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from iadlib import figures
from iadlib.data import Category, load_category, read_image
from iadlib.figures.style import FILE_DPI, as_pdf
from iadlib.rendering.writing import CATEGORIES, ON_HARDER_GROUND, rendered_category

INTRODUCTION = """# Data set card: rendered categories with logical constraints

Six categories of parts, rendered from solid geometry with [Mitsuba 3](https://www.mitsuba-renderer.org), in the layout
of MVTec LOCO AD or, for the category without logical anomalies, of MVTec AD. The licence of MVTec LOCO AD excludes
commercial use; the images here have a free licence. Every normal image obeys rules that are written as code, every
logical anomaly breaks exactly one rule, and position, size and contrast of every anomaly are known. No photograph and
no file of another data set is part of it.

![One normal image, one logical and one structural anomaly of every category](gallery.png)

*Normal, logical, structural for each category; ground truth outlined.*
"""
HARDER_GROUND = """## The flat connector on harder ground

The black cloth of `flat_connector` is nearly uniform. The same scenes are therefore rendered on two other grounds. With
the same seed, counts, width and samples, an image has the part, pose, defect, metal, light, noise and ground truth of
the image of the same name in `flat_connector`. Only the ground differs, and with it the contrast of a defect next to
it. Rules, defects and sizes are the same.

![The flat connector on harder ground: normal, logical, structural](harder_ground.png)

*Normal, logical, structural on each ground; ground truth outlined.*
"""
GROUNDS = {
    "flat_connector_folds": "rumpled, slightly glossy black cloth with deep folds close to the plate, hundreds of "
    "fibres of lint, fluff and dust",
    "flat_connector_mat": "a grey, pebbled cutting mat with a printed grid, cuts, rubs and dust, about as bright as "
    "the darkest parts of the metal",
}
LIMITATIONS = """## Limitations

- The images are no photographs. Light comes from one softbox and an even room; in scenes with many objects, light is
  not reflected from one object to another. Vignetting, a slight, even defocus, noise and JPEG compression are modelled;
  lens distortion, depth of field and a colour filter array are not.
- Materials are simple: one gloss for a plastic, noise for wear. Normal images vary in a few dozen random numbers; a
  production line has causes of variation that are not modelled.
- An anomalous image has exactly one anomaly. Real rejects often have several.
- The images are smaller than those of the data sets that the categories follow. `python -m iadlib render CATEGORY --out
  DIR --scale full` renders as many and as large images as those data sets have.
- Path tracing adds noise of its own, which is stronger than that of the sensor in some categories.
- The lens resolves the sensor: the blur is about half a pixel at any width.
- In the fastener kit, any arrangement of the pieces is normal, and logical anomalies are hard to detect. In the juice
  bottle and the splicing connectors, most logical anomalies are large and local, and easy to detect.
- Where a small part of a large region suffices, as for a missing nut that could lie anywhere, a map of random numbers
  has a high AU-sPRO: compare with the column of chance.
- At the default scale a defect has 4 to 17 test images, too few for conclusions about single defects. For the flat
  connector, the study renders many more.
- Results compare methods with one another. They are no substitute for results on MVTec AD or MVTec LOCO AD.

## Difficulty

The size, strength and colour of defects are drawn from the ranges in the class `Difficulty` of each category's file. A
params file with `difficulty` replaces them. The contrast of a defect, in the file of its scene, is the mean absolute
difference in its region to an image of the same scene without the defect, with the same light and noise.

The ranges of logical anomalies were chosen by eye, from easily overlooked to obvious. Those of structural anomalies
were set by the scores of one detector, so that they are about as hard for a detector that compares patches as those of
MVTec LOCO AD: on a development draw (seed 1000, never reported), PatchCore was to have an image AUROC on them of
0.85 to 0.95. With the final ranges and a coreset of 0.02 it was 0.86 to 0.97 by category, and 0.91 on average, with
60 training, 40 good and 36 structural images (`benchmarks/difficulty.csv`; on the flat connector, with scratches of 0.6
to 1.8 mm, a little wider than in the final range).

How well PatchCore finds structural anomalies here is therefore a property of the images, and no finding. How detectors
compare with each other, and structural with logical anomalies, was not used to choose the ranges.

## Use

The images are under CC BY 4.0, the code is under MIT. Cite the source as `CITATION.cff` describes. The layouts and the
metric follow Bergmann et al., "Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection and
Localization", IJCV 2022, and Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021: cite them too.
"""


def write_card(folder: Path, out: Path) -> None:
    """Write the card of the rendered categories in `folder`, a `README.md` and its pictures, into the folder `out`."""
    categories = [load_category(folder / name) for name in CATEGORIES if (folder / name).is_dir()]
    if not categories:
        raise ValueError(f"{folder}: no folder here has the name of a rendered category, {', '.join(CATEGORIES)}")
    sections = [_section(category) for category in categories]
    _save_gallery(categories, out / "gallery")
    if paired := [load_category(folder / name) for name in ON_HARDER_GROUND if (folder / name).is_dir()]:
        entries = [f"- `{category.name}`: {GROUNDS[category.name]}. {_sizes(category)}\n" for category in paired]
        sections += [HARDER_GROUND, "".join(entries)]
        _save_gallery(paired, out / "harder_ground")
    (out / "README.md").write_text("\n".join([INTRODUCTION, *sections, LIMITATIONS]))


def _section(category: Category) -> str:
    definition = rendered_category(category.name)
    lines = [f"## {category.name}\n", _sizes(category)]
    if definition.rules:
        lines += ["\nRules:\n", *(f"- {rule.text} (`{name}`)" for name, rule in definition.rules.items())]
    lines += ["\n| defect | description | broken rule | sufficient area |", "|---|---|---|---|"]
    for name, defect in definition.defects.items():
        share = "all of the region" if defect.saturation_share == 1 else f"{defect.saturation_share:.0%} of the region"
        enough = f"{defect.saturation_mm2:.0f} mm²" if defect.saturation_mm2 else share
        lines.append(f"| {name} | {defect.text} | {defect.breaks or ''} | {enough} |")
    return "\n".join(lines) + "\n"


def _sizes(category: Category) -> str:
    height, width = read_image(category.samples["image"].iloc[0]).shape[:2]
    camera = rendered_category(category.name).camera(width)
    splits = category.samples["split"].value_counts()
    train, validation, test = (splits.get(split, 0) for split in ("train", "validation", "test"))
    labels = category.of("test")["label"].value_counts()
    good, logical, structural = (labels.get(label, 0) for label in ("good", "logical", "structural"))
    return (
        f"{width} x {height} pixels, {camera.pixels_per_mm:.1f} per millimetre; {train} training, {validation} "
        f"validation and {test} test images: {good} good, {logical} with a logical and {structural} with a structural "
        "anomaly."
    )


def _save_gallery(categories: Sequence[Category], path: Path) -> None:
    """The gallery as PNG and PDF; `path` has no ending."""
    figure = _gallery(categories)
    figure.savefig(path.with_suffix(".png"), dpi=FILE_DPI)
    path.with_suffix(".pdf").write_bytes(as_pdf(figure))


def _gallery(categories: Sequence[Category]) -> Figure:
    """Two categories in a row; of each, a normal image, the first logical and the first structural defect."""
    rows, titles, regions = [], [], []
    for place, category in enumerate(categories):
        test, definition = category.of("test"), rendered_category(category.name)
        names = [[each.defect_name for each in category.regions(i)][:1] for i in range(len(test))]
        kinds = ("logical_anomalies", "structural_anomalies")
        shown = [defects[0] for kind in kinds if (defects := definition.defects_of(kind))]
        if len(shown) < len(kinds):  # a category without logical anomalies
            shown = definition.defects_of("structural_anomalies")[1:3]
        chosen = [names.index([]), *(names.index([defect]) for defect in shown)]
        if place % 2 == 0:
            rows, titles, regions = [*rows, []], [*titles, []], [*regions, []]
        rows[-1] += [read_image(test["image"].iloc[i]) for i in chosen]
        regions[-1] += [category.regions(i) for i in chosen]
        titles[-1] += [name.replace("_", " ") for name in (category.name, *shown)]
    return figures.gallery(rows, titles, regions)
