"""The commands: `python -m iadlib COMMAND --help` says more of each."""

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path

from iadlib.params import read_blocks

RENDER_SETTINGS = ("seed", "scale", "width", "counts", "samples", "difficulty")
DETECT_SETTINGS = ("image_size", "hyperparameters")


def render(options: argparse.Namespace) -> None:
    """Render a category in the layout of MVTec LOCO AD, metal_nut in that of MVTec AD; resumable."""
    from iadlib import rendering

    settings = read_blocks(options.file) if options.file else {}
    settings |= {name: value for name in ("seed", "scale") if (value := getattr(options, name)) is not None}
    if unknown := [name for name in settings if name not in RENDER_SETTINGS]:
        raise ValueError(f"{options.file}: no setting {unknown[0]!r}; there are {', '.join(RENDER_SETTINGS)}")
    if options.out.exists():
        raise FileExistsError(f"{options.out} exists; remove it, or name a folder that does not exist")
    # The folder appears when it is complete. Until then it carries a mark of the settings and of the renderer's code:
    # what an interrupted run has made is taken up again only if it would be made the same way now.
    sources = sorted(Path(rendering.__file__).parent.glob("*.py"))
    made_by = json.dumps([options.category, settings]).encode() + b"".join(path.read_bytes() for path in sources)
    mark = hashlib.sha256(made_by).hexdigest()[:12]
    unfinished = options.out.with_name(f"{options.out.name}-{mark}.partial")
    rendering.render_category(options.category, unfinished, **settings)
    unfinished.replace(options.out)
    for abandoned in options.out.parent.glob(f"{options.out.name}-{'[0-9a-f]' * len(mark)}.partial"):
        shutil.rmtree(abandoned)
    print(f"{options.category} stands in {options.out}")


def build(options: argparse.Namespace) -> None:
    """Make a category in MVTec LOCO AD layout of one's own photographs and drawn masks."""
    from iadlib.data import build_category

    report = build_category(options.photographs, options.out, options.description, seed=options.seed)
    print(f"{report.text}\nthe category stands in {options.out}; the lines above also in its README.md")


def mask(options: argparse.Namespace) -> None:
    """Copy a category and black out, in every photograph, what is farther than a radius from the object."""
    from iadlib.data import find_object, load_category, mask_category, read_image

    class Objects(dict):  # found when they are asked for: after the checks, under the progress bar
        def __missing__(self, path: Path):
            return self.setdefault(path, find_object(read_image(path)))

    objects = Objects()
    category = mask_category(load_category(options.folder), options.out, options.radius, objects)
    print(f"{category.name}: {len(category.samples)} images, black beyond {options.radius:g} pixels from the object")
    if without := [path for path, found in objects.items() if found.all()]:
        print(f"no object found in {len(without)} of them, which stay as they are: {without[0]} for one")


def refer(options: argparse.Namespace) -> None:
    """Check every image and mask of a folder of photographs, and note where it lies."""
    from iadlib import study

    category = study.refer(options.folder, options.out)
    print(f"{category.name}: {len(category.samples)} images in {category.layout} layout, all readable")


def card(options: argparse.Namespace) -> None:
    """Describe rendered categories: rules, defects, counts, and a picture of all."""
    from iadlib.rendering.card import write_card

    write_card(options.folder, options.out)
    print(f"the data set card stands in {options.out}")


def detect(options: argparse.Namespace) -> None:
    """Fit a detector to the normal images of a category and look for anomalies in its test images."""
    from iadlib import study

    settings = read_blocks(options.file) if options.file else {}
    if unknown := [name for name in settings if name not in DETECT_SETTINGS]:
        raise ValueError(f"{options.file}: no setting {unknown[0]!r}; there are {', '.join(DETECT_SETTINGS)}")
    hyperparameters = settings.get("hyperparameters", {})
    image_size = settings.get("image_size", 224) if options.image_size is None else options.image_size
    scores, metrics = study.detect(
        options.data,
        options.detector,
        hyperparameters,
        image_size,
        options.seed,
        options.false_positive_rate,
        options.out,
    )
    print(scores.head(10).to_string(index=False))
    print(f"… the highest of {len(scores)} test images; {scores['anomalous'].sum()} lie above the threshold")
    if metrics:
        print(f"\n{study.metrics_table(metrics).to_string()}\n")
    print(f"all scores, maps and pictures stand in {options.out}")


def evaluate(options: argparse.Namespace) -> None:
    """Judge anybody's anomaly maps, an image by its map's maximum, against a category in LOCO layout."""
    from iadlib import study
    from iadlib.metrics import format_report

    from_detect = Path(options.maps) / "maps.npz"
    report = study.evaluate(options.dataset, from_detect if from_detect.is_file() else options.maps)
    print(format_report(report))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n")
        print(f"written to {options.out}")


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="python -m iadlib", description=__doc__)
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    def command(function):
        added = commands.add_parser(function.__name__, help=function.__doc__, description=function.__doc__)
        added.set_defaults(function=function)
        return added

    added = command(render)
    added.add_argument("category", help="the category's name, pushpins for one; a wrong one lists them all")
    added.add_argument("--out", type=Path, required=True, help="the folder to make")
    added.add_argument("--seed", type=int, help="another seed makes another, independent data set")
    added.add_argument(
        "--scale",
        choices=["quick", "default", "full"],
        help="how many images, and how large (default: default); full: as many and as large as in MVTec LOCO AD",
    )
    added.add_argument("-f", "--file", metavar="FILE:BLOCKS", help="settings, as params/rendering.yaml:common,embedded")

    added = command(build)
    added.add_argument("photographs", type=Path, help="a folder; JPEG, PNG or TIFF, at any depth")
    added.add_argument(
        "--description",
        type=Path,
        required=True,
        metavar="YAML",
        help="names the defects, the folder of masks and more: see the first lines of iadlib/data/description.py",
    )
    added.add_argument("--out", type=Path, required=True, help="the folder to make")
    added.add_argument("--seed", type=int, default=0, help="of the draw into train, validation and test (default: 0)")

    added = command(mask)
    added.add_argument("folder", type=Path, help="a category in MVTec AD or MVTec LOCO AD layout; it stays as it is")
    added.add_argument("--radius", type=float, required=True, metavar="N", help="in pixels; 0 keeps the object alone")
    added.add_argument("--out", type=Path, required=True, help="the folder to make")

    added = command(refer)
    added.add_argument("folder", help="photographs in MVTec AD, MVTec LOCO AD or magnetic-tile layout")
    added.add_argument("--out", nargs="+", required=True, help="the folders to make")

    added = command(card)
    added.add_argument("folder", type=Path, help="where the folders that `render` made are")
    added.add_argument("--out", type=Path, required=True, help="the folder to make")

    added = command(detect)
    added.add_argument("--data", required=True, help="a category in MVTec AD, MVTec LOCO AD or magnetic-tile layout")
    added.add_argument("--detector", default="patchcore")
    added.add_argument("--out", type=Path, required=True, help="the folder to make")
    added.add_argument(
        "--image-size",
        type=int,
        metavar="N",
        help="work on about N x N pixels, at the photographs' own aspect ratio (default: the file's, or 224)",
    )
    added.add_argument("--seed", type=int, default=0)
    added.add_argument(
        "--false-positive-rate",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="the share of normal validation images above the threshold (default: 0.05)",
    )
    added.add_argument(
        "-f", "--file", metavar="FILE:BLOCKS", help="settings, as params/methods/patchcore.yaml:common,paper"
    )

    added = command(evaluate)
    added.add_argument("--dataset", type=Path, required=True, help="the category's folder, MVTec LOCO AD layout")
    added.add_argument("--maps", type=Path, required=True, help="a folder of .tiff maps, or an .npz file")
    added.add_argument("--out", type=Path, help="also write the numbers as JSON")
    return whole


def main(arguments: list[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    try:
        options.function(options)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
