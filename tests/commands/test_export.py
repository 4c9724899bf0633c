"""Exported models give what the detectors give, and what cannot be exported says why."""

import copy
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from iadlib import results
from iadlib.__main__ import main
from iadlib.commands import export as module
from iadlib.commands.export import (
    NotExportable,
    Operators,
    compare,
    export,
    metadata_of,
    random_images,
    run_model,
    write_model,
)
from iadlib.data import DataError
from iadlib.detectors import DETECTORS, create, detector_class
from iadlib.detectors.training import seeded
from iadlib.ensemble import FeatureEnsemble
from iadlib.types import Prediction
from tests.commands.conftest import plate
from tests.conftest import textured
from tests.detectors.test_contract import TINY

pytest.importorskip("onnxscript", reason="pip install 'iadlib[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'iadlib[onnx]'")

SIZE = (96, 64)
PAGE = (Path(__file__).parents[2] / "docs/export.md").read_text()
BACKBONE = "test_resnet"  # of timm, with few layers


def documented() -> dict[str, str]:
    """Title -> what the page says of the number of images, or why there is no model."""
    rows = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", PAGE, flags=re.MULTILINE)
    return {title: text for title, text in rows if title in {detector_class(name).title for name in DETECTORS}}


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict[str, str]:
    """Hyperparameters of a small backbone with random weights, which make an export fast."""
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    with seeded(0):
        torch.save(timm.create_model(BACKBONE).state_dict(), path)
    return {"backbone": BACKBONE, "checkpoint": str(path)}


def fitted(name: str, small: dict[str, str]):
    backbone = small if "checkpoint" in detector_class(name).paths else {}
    longer = {"steps": 30} if name == "draem" else {}  # after three, all scores are alike but for rounding
    return create(name, **TINY.get(name, {}) | longer | backbone).fit(textured(8, 1, SIZE), textured(3, 3, SIZE))


def assert_same(detector, path: Path, images: torch.Tensor, batch_size: int) -> None:
    expected, found = detector.predict(images), run_model(path, images, batch_size)
    thresholds = {"image": expected.scores.min(), "pixel": 0.0}
    assert found.scores.dtype == np.float32
    assert (found.maps is None) == (expected.maps is None)
    assert expected.maps is None or found.maps.shape == expected.maps.shape
    if (difference := compare(expected, found, thresholds)) >= 1e-4:  # unless the network itself amplifies rounding
        exact = in_64_bit(detector).predict(images.double())
        assert compare(exact, found, thresholds) < 2 * compare(exact, expected, thresholds)
        assert difference < module.TOLERANCE


def in_64_bit(detector):
    """A copy of a detector whose learned state is all in modules."""
    copied = copy.deepcopy(detector)
    for name in copied.learned:
        getattr(copied, name).double()
    return copied


@pytest.mark.parametrize("name", list(DETECTORS))
def test_a_detector_is_exported_or_refused_as_the_page_says(name, small, tmp_path):
    detector, path = fitted(name, small), tmp_path / "model.onnx"
    text = documented()[detector.title]
    if text.startswith("no: "):
        with pytest.raises(NotExportable, match=re.escape(text.removeprefix("no: "))):
            write_model(detector, path, {})
        assert not path.exists()
        return
    any_number = write_model(detector, path, {"threshold": "1.5"})
    assert text == ("any number" if any_number else "one")
    images = torch.cat([textured(2, 2, SIZE), random_images(SIZE)[:1]])
    for batch_size in (1, 3) if any_number else (1,):
        assert_same(detector, path, images, batch_size)
    metadata = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert metadata["threshold"] == "1.5"
    assert metadata["images_at_a_time"] == ("any number" if any_number else "1")


def test_the_page_lists_every_detector():
    assert set(documented()) == {detector_class(name).title for name in DETECTORS}


def test_a_feature_ensemble_is_exported(small, tmp_path):
    settings = {name: TINY.get(name, {}) | small for name in FeatureEnsemble().members}
    ensemble = FeatureEnsemble(settings=settings, steps=2, hidden_channels=8)
    ensemble.fit(textured(8, 1, SIZE), textured(5, 3, SIZE))
    assert write_model(ensemble, tmp_path / "model.onnx", {})
    images = textured(3, 2, SIZE)
    images[1, :, 20:40, 20:40] = 1.0  # scores need a range that differences are compared with
    for batch_size in (1, 3):
        assert_same(ensemble, tmp_path / "model.onnx", images, batch_size)


def test_settings_that_reduce_and_reweight_take_any_number_of_images_too(small, tmp_path):
    settings = {"embedding_dimension": 20, "image_score": "patch", "reweighting_neighbours": 3}
    detector = create("patchcore", **settings, **small).fit(textured(8, 1, SIZE))
    assert write_model(detector, tmp_path / "model.onnx", {})
    images = torch.cat([textured(2, 2, SIZE), random_images(SIZE)[:1]])
    for batch_size in (1, 3):
        assert_same(detector, tmp_path / "model.onnx", images, batch_size)


@pytest.fixture(scope="module")
def model(result, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    main(["export", str(result), "--out", str(path)])
    return path


def test_the_metadata_say_what_a_program_needs_to_use_the_model(model, result):
    session = onnxruntime.InferenceSession(model)
    metadata, settings = session.get_modelmeta().custom_metadata_map, results.read_settings(result)
    assert metadata["detector"] == "padim"
    assert json.loads(metadata["hyperparameters"]) == settings["hyperparameters"]
    assert [int(metadata["image_height"]), int(metadata["image_width"])] == settings["image_size"]
    assert float(metadata["threshold"]) == settings["thresholds"]["image"]
    assert float(metadata["pixel_threshold"]) == settings["thresholds"]["pixel"]
    assert [float(metadata["map_low"]), float(metadata["map_high"])] == settings["map_range"]
    assert "Image.Resampling.BILINEAR" in metadata["preprocessing"]
    assert [each.name for each in session.get_outputs()] == ["scores", "maps"]
    assert session.get_inputs()[0].shape[1:] == [3, *settings["image_size"]]


def test_metadata_of_a_detector_without_maps_have_no_pixel_threshold(result):
    settings = results.read_settings(result) | {"map_range": None, "thresholds": {"image": 1.0, "validation_images": 2}}
    metadata = metadata_of(create("pooled_gaussian"), settings)
    assert metadata["threshold"] == "1.0"
    assert not {"pixel_threshold", "map_low", "map_high"} & set(metadata)


def test_the_program_of_the_page_scores_a_photograph_as_score_does(model, result, tmp_path, capsys):
    path = tmp_path / "part.jpg"
    plate(50, defective=True, size=(150, 201)).save(path)
    program = re.search(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)[1]
    assert not re.search(r"import (torch|iadlib)|from (torch|iadlib)", program)
    names = {"MODEL.onnx": str(model), "PHOTOGRAPH.jpg": str(path)}
    for name, there in names.items():
        assert name in program
        program = program.replace(name, there)
    found = {}
    exec(compile(program, "docs/export.md", "exec"), found)
    main(["score", str(result), str(path), "--out", str(tmp_path / "scores")])
    [expected] = np.loadtxt(tmp_path / "scores/scores.csv", delimiter=",", skiprows=1, usecols=[1], ndmin=1)
    assert found["score"] == pytest.approx(expected, rel=1e-4)
    assert found["anomalous"]
    assert found["map"].shape == tuple(results.read_settings(result)["image_size"])
    assert "anomalous" in capsys.readouterr().out


@pytest.fixture
def converted(model, monkeypatch):
    """The model of `result` takes the place of its conversion, which takes seconds."""

    def copied(detector, path, metadata):
        shutil.copy(model, path)
        return True

    monkeypatch.setattr(module, "write_model", copied)


@pytest.mark.usefixtures("converted")
def test_the_check_may_use_photographs(result, good_parts, tmp_path, capsys):
    difference = export(result, tmp_path / "model.onnx", check=[good_parts])
    assert difference < module.TOLERANCE
    assert f"on 10 photographs: {difference:.1e} of the range" in capsys.readouterr().out


@pytest.mark.usefixtures("converted")
def test_a_model_that_differs_is_not_written(result, tmp_path, monkeypatch):
    def wrong(path, images, batch_size):
        found = run_model(path, images, batch_size)
        return Prediction(found.scores * 1.01, found.maps)

    monkeypatch.setattr(module, "run_model", wrong)
    with pytest.raises(ValueError, match=r"PaDiM: the exported model differs .* nothing was written"):
        export(result, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_number_is_a_difference():
    expected = Prediction(np.array([1.0, 2.0]), np.ones((2, 1, 1)))
    found = Prediction(np.array([1.0, 2.0]), np.full((2, 1, 1), np.nan))
    assert not compare(expected, found, {"image": 0.0, "pixel": 0.0}) <= 1


def test_an_existing_file_is_refused(result, tmp_path):
    (tmp_path / "model.onnx").write_text("something")
    with pytest.raises(FileExistsError, match="exists"):
        export(result, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_text() == "something"


def test_several_fitted_detectors_are_refused(result, tmp_path):
    for seed in "01":
        shutil.copytree(result, tmp_path / "results" / seed)
    with pytest.raises(DataError, match=r"2 fitted detectors; name one of them, .*0 for example"):
        export(tmp_path / "results", tmp_path / "model.onnx")


def test_missing_packages_are_named(result, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "onnx" else name)
    with pytest.raises(ModuleNotFoundError, match=r"exporting needs onnx: pip install 'iadlib\[onnx\]'"):
        export(result, tmp_path / "model.onnx")


def test_a_learned_state_beyond_the_format_is_refused_before_the_work(small, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_FILE", 1000)
    with pytest.raises(NotExportable, match=r"PaDiM cannot be exported: what it has learned takes .* GB"):
        write_model(fitted("padim", small), tmp_path / "model.onnx", {})


def test_operators_that_replace_others_give_the_same():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.rand(3, 4, 4, generator=generator).tril() + torch.eye(4)
    right, other = torch.rand(2, 3, 4, 5, generator=generator)
    expected = torch.linalg.solve_triangular(matrix, right, upper=False), torch.hypot(right, other)
    with Operators():
        found = torch.linalg.solve_triangular(matrix, right, upper=False), torch.hypot(right, other)
        assert len(right.split(1)) == 1
        assert len(right.split([1, 2])) == 2
    for one, another in zip(expected, found, strict=True):
        torch.testing.assert_close(one, another)


def test_numpy_in_a_method_is_refused():
    with pytest.raises(NotExportable, match="NumPy"), Operators():
        torch.zeros(1).numpy()
