"""Visual anomaly detection from the command line; `python -m iadlib COMMAND --help` says more of each command."""

import argparse
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

FILE_HELP = "settings, as params/methods/NAME.yaml:common,paper; may be given several times"


def parser() -> argparse.ArgumentParser:
    """The arguments of every command; `run` of the parsed options executes it."""
    whole = argparse.ArgumentParser(prog="python -m iadlib", description=__doc__)
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for_users = (_fit, _score, _detect, _evaluate, _build, _mask, _render)
    for_the_study = (_card, _refer, _judge, _members, _ensemble, _calibrate)
    for add in for_users + for_the_study:
        add(commands)
    return whole


def main(arguments: list[str] | None = None) -> None:
    """Run a command; an expected error is one line on standard error and exit status 1."""
    options = parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the name of a file may be no valid text
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when libraries are imported: one thread, the same bits
    try:
        status = options.run(options)
    except (ValueError, OSError, RuntimeError, ModuleNotFoundError) as error:  # the last: a package with weights
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    if status:
        sys.exit(status)


def _command(
    commands, name: str, run: Callable[[argparse.Namespace], int | None], text: str
) -> argparse.ArgumentParser:
    added = commands.add_parser(name, help=text, description=text)
    added.set_defaults(run=run)
    return added


def _add_fit_arguments(added: argparse.ArgumentParser, several_seeds: bool) -> None:
    added.add_argument("--detector", metavar="NAME", help="a wrong name lists them all (default: the first of them)")
    added.add_argument("--out", type=Path, required=True, metavar="RESULT", help="the folder to make")
    added.add_argument(
        "--image-size",
        type=int,
        metavar="N",
        help="work on about N x N pixels, at the photographs' aspect ratio (default: the detector's own)",
    )
    if several_seeds:
        added.add_argument("--seeds", type=int, nargs="+", metavar="N", help="fit once a seed, a folder for each")
    else:
        text = "of all random numbers (default: the first seed of the settings, or 0)"
        added.add_argument("--seed", "--seeds", dest="seeds", type=int, nargs=1, metavar="N", help=text)
    added.add_argument(
        "--false-positive-rate",
        type=float,
        metavar="SHARE",
        help="the share of normal validation images above the threshold (default: 0.05)",
    )
    added.add_argument("-f", "--file", action="append", default=[], metavar="FILE:BLOCKS", help=FILE_HELP)
    _add_bits(added)


def _add_bits(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "--bits", type=int, metavar="N", help="bits a value of the camera has, where photographs of 16 bit do not tell"
    )


def _fit_settings(options: argparse.Namespace):
    from iadlib.commands.fit import FitSettings
    from iadlib.detectors import DETECTORS, detector_class
    from iadlib.params import check_values, read_settings

    names = ("image_size", "seeds", "false_positive_rate")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    settings = read_settings(FitSettings, options.file, given)
    detector = detector_class(options.detector or next(iter(DETECTORS)))
    check_values(detector, settings.hyperparameters, ", ".join(options.file))
    return settings


def _fit(commands) -> None:
    def run(options):
        from iadlib.commands.fit import fit

        fit(options.data, options.detector, options.out, _fit_settings(options), options.bits)

    added = _command(commands, "fit", run, "Fit a detector to photographs of good parts.")
    added.add_argument(
        "--data",
        nargs="+",
        required=True,
        metavar="DIR",
        help="a folder of photographs of good parts, or a category; with several, RESULT holds a folder for each",
    )
    _add_fit_arguments(added, several_seeds=True)


def _score(commands) -> None:
    def run(options):
        pictures = not options.no_pictures
        if options.watch:
            from iadlib.commands.watch import watch

            if len(options.photographs) != 1:
                raise ValueError("--watch takes one folder")
            return watch(options.result, options.photographs[0], options.out, pictures)
        from iadlib.commands.score import print_scores, score

        table, errors = score(options.result, options.photographs, options.out, pictures)
        print_scores(table)
        print(f"{table['anomalous'].sum()} of {len(table)} photographs are anomalous; all results are in {options.out}")
        for error in errors:
            print(f"error: {error}", file=sys.stderr)
        return 1 if errors else 0

    added = _command(commands, "score", run, "Score photographs with a detector that `fit` or `detect` has fitted.")
    added.add_argument("result", type=Path, metavar="RESULT", help="the folder that fit or detect has made")
    added.add_argument("photographs", nargs="+", metavar="PHOTOGRAPHS", help="files, folders or patterns")
    added.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    added.add_argument("--no-pictures", action="store_true", help="write scores.csv alone, no heat maps")
    added.add_argument("--watch", action="store_true", help="go on with what arrives in a folder, until Ctrl-C")


def _detect(commands) -> None:
    def run(options):
        from iadlib.commands.detect import detect, format_metrics

        table, metrics = detect(options.data, options.detector, options.out, _fit_settings(options), options.bits)
        print(table.head(10).to_string(index=False))
        print(f"the highest of {len(table)} test images; {table['anomalous'].sum()} are above the threshold")
        if metrics:
            print(f"\n{format_metrics(metrics)}\n")
        print(f"all scores, maps and pictures are in {options.out}")

    text = "Fit a detector to a category, score its test images and judge the scores."
    added = _command(commands, "detect", run, text)
    added.add_argument("--data", required=True, help="a category in MVTec AD, MVTec LOCO AD or magnetic-tile layout")
    _add_fit_arguments(added, several_seeds=False)


def _evaluate(commands) -> None:
    def run(options):
        from iadlib.commands.evaluate import evaluate
        from iadlib.metrics import format_report

        print(format_report(evaluate(options.dataset, options.maps, options.out)))
        if options.out:
            print(f"written to {options.out}")

    text = "Judge anybody's anomaly maps, an image by its map's maximum, against a category in MVTec LOCO AD layout."
    added = _command(commands, "evaluate", run, text)
    added.add_argument("--dataset", type=Path, required=True, help="the category's folder")
    added.add_argument(
        "--maps", type=Path, required=True, help="TIFF files in a folder, an .npz, or a folder of detect"
    )
    added.add_argument("--out", type=Path, metavar="FILE", help="also write the numbers as JSON")


def _build(commands) -> None:
    def run(options):
        from iadlib.commands.build import build

        build(options.photographs, options.description, options.out, options.seed)

    text = "Make a category in MVTec LOCO AD layout of one's own photographs and drawn masks."
    added = _command(commands, "build", run, text)
    added.add_argument("photographs", type=Path, help="a folder of photographs, at any depth")
    added.add_argument(
        "--description",
        type=Path,
        required=True,
        metavar="YAML",
        help="names the defects, the folder of masks and more: see the first lines of iadlib/data/description.py",
    )
    added.add_argument("--out", type=Path, required=True, help="the folder to make")
    added.add_argument("--seed", type=int, default=0, help="of the draw into train, validation and test (default: 0)")


def _mask(commands) -> None:
    def run(options):
        from iadlib.commands.mask import MaskSettings, mask
        from iadlib.params import read_settings

        if options.radius is None and not options.file:
            raise ValueError("how much around the object stays? Name a --radius, or settings with --file")
        given = {} if options.radius is None else {"radii": options.radius}
        radii = read_settings(MaskSettings, options.file, given).radii
        mask(options.folder, radii, options.out, with_unmasked=bool(options.file) or None, bits=options.bits)

    text = "Copy a category and black out, in every photograph, what is farther than a radius from the object."
    added = _command(commands, "mask", run, text)
    added.add_argument("folder", type=Path, help="a category in MVTec AD or MVTec LOCO AD layout; it stays as it is")
    added.add_argument(
        "--radius",
        type=float,
        nargs="+",
        metavar="N",
        help="in pixels; 0 keeps the object alone; with several, DIR holds a copy for each, and one that is not masked",
    )
    added.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    added.add_argument("-f", "--file", action="append", default=[], metavar="FILE:BLOCKS", help=FILE_HELP)
    _add_bits(added)


def _render(commands) -> None:
    def run(options):
        from iadlib.commands.render import render

        render(options.category, options.out, seed=options.seed, scale=options.scale, file=options.file)

    text = "Render a category in the layout of MVTec LOCO AD, metal_nut in that of MVTec AD; resumable."
    added = _command(commands, "render", run, text)
    added.add_argument("category", help="the category's name, pushpins for example; a wrong one lists them all")
    added.add_argument("--out", type=Path, required=True, help="the folder to make")
    added.add_argument("--seed", type=int, help="another seed makes another, independent data set")
    added.add_argument(
        "--scale",
        choices=["quick", "default", "full"],
        help="how many images, and how large (default: default); full: as many and as large as in MVTec LOCO AD",
    )
    added.add_argument("-f", "--file", metavar="FILE:BLOCKS", help="settings, as params/rendering.yaml:common,embedded")


def _card(commands) -> None:
    def run(options):
        from iadlib.commands.card import card

        card(options.folder, options.out)

    added = _command(
        commands, "card", run, "Describe rendered categories: rules, defects, counts, and a picture of all."
    )
    added.add_argument("folder", type=Path, help="where the folders that `render` made are")
    added.add_argument("--out", type=Path, required=True, help="the folder to make")


def _refer(commands) -> None:
    def run(options):
        from iadlib.commands.refer import refer

        refer(options.folder, options.out, options.bits)

    text = "Check every image and mask of a folder of photographs, and note for the pipeline where it lies."
    added = _command(commands, "refer", run, text)
    added.add_argument("folder", help="a category in MVTec AD, MVTec LOCO AD or magnetic-tile layout")
    added.add_argument("--out", nargs="+", required=True, help="the folders to make")
    _add_bits(added)


def _judge(commands) -> None:
    def run(options):
        from iadlib.commands.judge import judge

        judge(options.data, options.results, options.out, options.masked)

    added = _command(commands, "judge", run, "Judge what fitted detectors predict for the test images of a category.")
    added.add_argument("--data", type=Path, required=True, help="the category")
    added.add_argument("--results", type=Path, required=True, help="a folder DETECTOR/SEED/ of folders of `fit`")
    added.add_argument("--out", type=Path, required=True, help="the folder to make")
    added.add_argument(
        "--masked", action="store_true", help="results are DETECTOR/RADIUS/SEED/, of a rendered ground that was masked"
    )


def _members(commands) -> None:
    def run(options):
        from iadlib.commands.ensemble import EnsembleSettings
        from iadlib.commands.members import members
        from iadlib.params import read_settings

        members(options.results, list(read_settings(EnsembleSettings, options.file, {}).cuts), options.out)

    added = _command(commands, "members", run, "Note the checksums of the fitted detectors that ensembles use.")
    added.add_argument("results", type=Path, help="a folder DETECTOR/SEED/ of folders of `fit`")
    added.add_argument("-f", "--file", action="append", required=True, metavar="FILE:BLOCKS", help="the ensembles")
    added.add_argument("--out", type=Path, required=True, metavar="FILE", help="the JSON file to write")


def _ensemble(commands) -> None:
    def run(options):
        from iadlib.commands.ensemble import EnsembleSettings, ensemble
        from iadlib.params import read_settings

        settings = read_settings(EnsembleSettings, options.file, {})
        ensemble(options.data, options.members, settings, options.out, options.report)

    added = _command(commands, "ensemble", run, "Fit ensembles of fitted detectors on one category.")
    added.add_argument("--data", type=Path, required=True, help="the category")
    added.add_argument("--members", type=Path, required=True, help="a folder DETECTOR/SEED/ of folders of `fit`")
    added.add_argument("-f", "--file", action="append", required=True, metavar="FILE:BLOCKS", help="the ensembles")
    added.add_argument("--out", type=Path, required=True, help="the folder to make, of maps and the fitted ensemble")
    added.add_argument("--report", type=Path, required=True, help="the folder to make, of tables")


def _calibrate(commands) -> None:
    def run(options):
        from iadlib.commands.calibrate import CalibrationSettings, calibrate
        from iadlib.params import read_settings

        settings = read_settings(CalibrationSettings, options.file, {})
        calibrate(options.data, options.results, options.benchmark, options.ensemble, options.out, settings)

    added = _command(commands, "calibrate", run, "Turn the scores of one category into probabilities, and judge these.")
    added.add_argument("--data", type=Path, required=True, help="the category")
    added.add_argument("--results", type=Path, required=True, help="a folder DETECTOR/SEED/ of folders of `fit`")
    added.add_argument("--benchmark", type=Path, required=True, help="the folder that `judge` has made")
    added.add_argument("--ensemble", type=Path, required=True, help="the report that `ensemble` has made")
    added.add_argument("-f", "--file", action="append", required=True, metavar="FILE:BLOCKS", help="the settings")
    added.add_argument("--out", type=Path, required=True, help="the folder to make")


if __name__ == "__main__":
    main()
