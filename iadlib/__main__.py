"""Visual anomaly detection from the command line; `python -m iadlib COMMAND --help` says more of each command.

The arguments of a command are those of the function of its name in the module of its name below `iadlib.commands`, or
of the function `run` there.
"""

import argparse
import importlib
import io
import os
import signal
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

from iadlib.parallel import keep_freed_memory

SETTING = "settings."  # before the names of arguments that override values of params files


def argument(*names: str, **options: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The names and options of `argparse.ArgumentParser.add_argument`; a name without a type is text."""
    return names, options


def setting(name: str, **options: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """An argument that overrides the value of its name in the params files."""
    return (name,), {"dest": SETTING + name.strip("-").replace("-", "_")} | options


OUT = argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
BITS = argument("--bits", type=int, metavar="N", help="bits of the camera, where photographs of 16 bit do not tell")
FILE = {
    "action": "append",
    "metavar": "FILE:BLOCKS",
    "help": "settings, as params/methods/NAME.yaml:common,paper; may be given several times",
}
FILES, REQUIRED_FILES = (argument("-f", "--file", **FILE, **more) for more in ({"default": []}, {"required": True}))
CATEGORY = argument("--data", type=Path, required=True, help="the category")
FITS = argument("--results", type=Path, required=True, dest="fits", help="DETECTOR/SEED/, folders of `fit`")
SIZE_HELP = "work on about N x N pixels, at the photographs' aspect ratio (default: the detector's own)"
RATE_HELP = "the share of normal validation images above the threshold (default: 0.05)"
FIT = (
    argument("--detector", metavar="NAME", help="a wrong name lists them all (default: the first of them)"),
    setting("--image-size", type=int, metavar="N", help=SIZE_HELP),
    setting("--false-positive-rate", type=float, metavar="SHARE", help=RATE_HELP),
    *(FILES, BITS, OUT),
)
SEEDS = setting("--seeds", type=int, nargs="+", metavar="N", help="fit once a seed, a folder for each")
SEED_HELP = "of all random numbers (default: the first seed of the settings, or 0)"
SEED = argument("--seed", "--seeds", dest=f"{SETTING}seeds", type=int, nargs=1, metavar="N", help=SEED_HELP)
SOURCES_HELP = "a folder of photographs of good parts, or a category; with several, --out holds a folder for each"
DEFECTS_HELP = "photographs of defective parts, with which `score` adds the probability that a part is defective"
DESCRIPTION_HELP = "names the defects, their masks and more: see the first lines of iadlib/data/description.py"
RADIUS_HELP = (
    "in pixels; 0 keeps the object alone; with several, --out holds a copy for each, and one that is not masked"
)
SCALE_HELP = "how many images, and how large (default: default); full: as many and as large as in MVTec LOCO AD"
CHECK_HELP = "photographs on which the model must agree with the detector (default: random images)"
BELOW_HELP = "file the results by the paths of the data below this folder (default: by their names)"
MASKED_HELP = "results are DETECTOR/CATEGORY/RADIUS/SEED/, of a rendered ground that was masked"

COMMANDS = {
    "fit": (
        "Fit a detector to photographs of good parts.",
        argument("--data", nargs="+", required=True, metavar="DIR", help=SOURCES_HELP),
        argument("--below", type=Path, metavar="DIR", help=BELOW_HELP),
        *(*FIT, SEEDS, argument("--defects", type=Path, metavar="DIR", help=DEFECTS_HELP)),
    ),
    "score": (
        "Score photographs with a detector that `fit` or `detect` has fitted.",
        argument("result", type=Path, metavar="RESULT", help="the folder that fit or detect has made"),
        argument("photographs", nargs="+", metavar="PHOTOGRAPHS", help="files, folders or patterns"),
        argument("--no-pictures", dest="pictures", action="store_false", help="write scores.csv alone, no heat maps"),
        argument("--watch", action="store_true", help="go on with what arrives in a folder, until Ctrl-C"),
        argument("--bits", type=int, metavar="N", help="bits of the camera (default: as in the fit)"),
        OUT,
    ),
    "detect": (
        "Fit a detector to a category, score its test images and judge the scores.",
        argument("--data", required=True, help="a category in MVTec AD, MVTec LOCO AD or magnetic-tile layout"),
        *(*FIT, SEED),
    ),
    "export": (
        "Write a fitted detector as an ONNX model, which runs without PyTorch: see docs/export.md.",
        argument("result", type=Path, metavar="RESULT", help="the folder that fit or detect has made"),
        argument("--out", type=Path, required=True, metavar="FILE", help="the model to write, MODEL.onnx"),
        argument("--check", nargs="+", default=[], metavar="PHOTOGRAPHS", help=CHECK_HELP),
    ),
    "show": (
        "Write a page to look through the results of score or detect, with a threshold to move.",
        argument("result", type=Path, metavar="RESULT", help="the folder that score or detect has made"),
        argument(
            "--photographs", type=Path, metavar="DIR", help="where the photographs are, if there are no heat maps"
        ),
        argument("--out", type=Path, required=True, metavar="FILE", help="the HTML file to write"),
    ),
    "compare": (
        "Show what has moved in the results since another git revision, and whether beyond the interval.",
        argument("revision", metavar="REVISION", help="a commit, branch or tag, as HEAD or main"),
        argument("--profile", default="embedded", help="whose results (default: embedded)"),
    ),
    "evaluate": (
        "Judge anybody's anomaly maps, an image by its map's maximum, against a category in MVTec LOCO AD layout.",
        argument("--dataset", type=Path, required=True, help="the category's folder"),
        argument("--maps", type=Path, required=True, help="TIFF files in a folder, an .npz, or a folder of detect"),
        argument("--out", type=Path, metavar="FILE", help="also write the numbers as JSON"),
    ),
    "build": (
        "Make a category in MVTec LOCO AD layout of one's own photographs and drawn masks.",
        argument("photographs", type=Path, help="a folder of photographs, at any depth"),
        argument("--description", type=Path, required=True, metavar="YAML", help=DESCRIPTION_HELP),
        argument("--seed", type=int, default=0, help="of the draw into train, validation and test (default: 0)"),
        OUT,
    ),
    "mask": (
        "Copy a category and black out, in every photograph, what is farther than a radius from the object.",
        argument("folder", type=Path, help="a category in MVTec AD or MVTec LOCO AD layout; it stays as it is"),
        argument("--radius", type=float, nargs="+", metavar="N", help=RADIUS_HELP),
        *(FILES, BITS, OUT),
    ),
    "render": (
        "Render a category in the layout of MVTec LOCO AD, metal_nut in that of MVTec AD; resumable.",
        argument("category", help="the category's name, pushpins for example; a wrong one lists them all"),
        argument("--seed", type=int, help="another seed makes another, independent data set"),
        argument("--scale", choices=["quick", "default", "full"], help=SCALE_HELP),
        argument("-f", "--file", metavar="FILE:BLOCKS", help="settings, as params/rendering.yaml:common"),
        OUT,
    ),
    "card": (
        "Describe rendered categories: rules, defects, counts, and a picture of all.",
        argument("folder", type=Path, help="where the folders that `render` made are"),
        OUT,
    ),
    "refer": (
        "Check every image and mask of a folder of photographs, and note for the pipeline where it lies.",
        argument("folder", help="a category in MVTec AD, MVTec LOCO AD or magnetic-tile layout"),
        *(BITS, OUT),
    ),
    "judge": (
        "Judge what fitted detectors predict for the test images of a category.",
        argument("--masked", action="store_true", help=MASKED_HELP),
        *(CATEGORY, FITS, OUT),
    ),
    "members": (
        "Note the checksums of the fitted detectors that ensembles use.",
        argument("fits", type=Path, metavar="RESULTS", help="DETECTOR/SEED/, folders of `fit`"),
        argument("--out", type=Path, required=True, metavar="FILE", help="the JSON file to write"),
        REQUIRED_FILES,
    ),
    "ensemble": (
        "Fit ensembles of fitted detectors on one category.",
        argument("--members", type=Path, required=True, help="DETECTOR/SEED/, folders of `fit`"),
        argument("--report", type=Path, required=True, metavar="DIR", help="the folder to make, of tables"),
        argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make, of maps and detectors"),
        *(CATEGORY, REQUIRED_FILES),
    ),
    "calibrate": (
        "Turn the scores of one category into probabilities, and judge these.",
        argument("--benchmark", type=Path, required=True, help="the folder that `judge` has made"),
        argument("--ensemble", type=Path, required=True, help="the report that `ensemble` has made"),
        *(CATEGORY, FITS, REQUIRED_FILES, OUT),
    ),
    "cluster": (
        "Submit the stages that `dvc repro` would run as jobs of a SLURM cluster; again to resume.",
        argument("--local", action="store_true", help="run the jobs on this machine instead, and wait for them"),
        argument("--dry", action="store_true", help="only print what would be submitted"),
        setting("--jobs-at-once", type=int, metavar="N", help="of all stages together (default: as the settings say)"),
        argument("-f", "--file", **FILE | {"default": ["params/cluster.yaml:common"]}),
    ),
}


def parser() -> argparse.ArgumentParser:
    """The arguments of every command."""
    whole = argparse.ArgumentParser(prog="python -m iadlib", description=__doc__.partition("\n")[0])
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (text, *arguments) in COMMANDS.items():
        added = commands.add_parser(name, help=text, description=text)
        for names, options in arguments:
            added.add_argument(*names, **options)
    return whole


def run(command: str, **options: Any) -> object:
    """Call the function of a command; params files become its argument `settings`, of the type that it names."""
    module = importlib.import_module(f"iadlib.commands.{command}")
    if hasattr(module, "run"):
        return module.run(**options)
    function = getattr(module, command)
    if hint := get_type_hints(function).get("settings"):
        from iadlib.detectors import DETECTORS, detector_class
        from iadlib.params import check_values, read_settings

        files = options.pop("file")
        overrides = {name: options.pop(name) for name in list(options) if name.startswith(SETTING)}
        given = {name.removeprefix(SETTING): value for name, value in overrides.items() if value is not None}
        options["settings"] = read_settings(*get_args(hint)[:1] or [hint], files, given)
        if "detector" in options:  # here, where the files are known that an error names
            detector = detector_class(options["detector"] or next(iter(DETECTORS)))
            check_values(detector, options["settings"].hyperparameters, ", ".join(files))
    function(**options)
    return None


def main(arguments: list[str] | None = None) -> None:
    """Run a command; an expected error is one line on standard error and exit status 1."""
    options = parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the name of a file may be no valid text
    os.environ["OMP_NUM_THREADS"] = "1"  # read when libraries are imported: one thread, the same bits
    keep_freed_memory()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit that removes what is half-written
    try:
        status = run(**vars(options))
    except (ValueError, OSError, RuntimeError, ModuleNotFoundError) as error:  # the last: a package with weights
        sys.exit(f"error: {error}")
    except MemoryError as error:
        sys.exit(
            f"error: not enough memory ({error or 'none is left'}); fewer photographs or a smaller image size need less"
        )
    except KeyboardInterrupt:
        sys.exit(130)
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
