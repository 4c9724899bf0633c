import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from iadlib.detectors.draem import (
    DRAEM,
    DiscriminativeNetwork,
    ReconstructiveNetwork,
    focal_loss,
    structural_similarity,
)

SMALL = {"reconstructive_width": 4, "discriminative_width": 4, "steps": 3, "training_batch_size": 4}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_the_focal_loss_without_a_focus_is_cross_entropy(monkeypatch):
    answer, masks = torch.randn(2, 2, 8, 6), (torch.rand(2, 8, 6) < 0.2).float()
    weighted = focal_loss(answer, masks)
    monkeypatch.setattr("iadlib.detectors.draem.FOCUS", 0.0)
    torch.testing.assert_close(focal_loss(answer, masks), F.cross_entropy(answer, masks.long()))
    assert weighted < focal_loss(answer, masks)


def test_structural_similarity_is_the_formulas_at_a_pixel(normal_images):
    one, other = normal_images[:1, :1], normal_images[1:2, :1]
    torch.testing.assert_close(structural_similarity(one, one), torch.ones_like(one))
    place = np.arange(11) - 5
    weights = np.exp(-(place[:, None] ** 2 + place[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    a, b = (x[0, 0, 20:31, 15:26].double().numpy() for x in (one, other))
    mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
    variance_a, variance_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
    covariance = (weights * (a - mean_a) * (b - mean_b)).sum()
    expected = (2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)
    expected /= (mean_a**2 + mean_b**2 + 1e-4) * (variance_a + variance_b + 9e-4)
    assert float(structural_similarity(one, other)[0, 0, 25, 20]) == pytest.approx(expected, abs=1e-4)


def test_textures_of_a_folder_are_painted(normal_images, tmp_path, monkeypatch):
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "red.png")
    found = []
    monkeypatch.setattr(
        "iadlib.detectors.draem.paint_anomalies", lambda *_, **given: found.append(given["textures"]) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        DRAEM(**SMALL, textures=str(tmp_path)).fit(normal_images)
    assert found == [[tmp_path / "red.png"]]


def test_a_folder_without_textures_raises_and_names_it(normal_images, tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        DRAEM(**SMALL, textures=str(tmp_path)).fit(normal_images)


def test_the_networks_have_the_published_number_of_weights():
    with torch.device("meta"):
        networks = ReconstructiveNetwork(128), DiscriminativeNetwork(64)
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == [69_048_579, 28_374_146]


def test_both_networks_learn(normal_images):
    detector = DRAEM(**SMALL | {"steps": 60}, learning_rate=0.003)
    detector.build()
    fresh = [p.clone() for m in (detector.reconstructive_, detector.discriminative_) for p in m.parameters()]
    detector.fit(normal_images[..., :32, :32])
    learned = [p for m in (detector.reconstructive_, detector.discriminative_) for p in m.parameters()]
    assert not any(torch.equal(a, b) for a, b in zip(fresh, learned, strict=True))
    assert detector.losses_[-10:].mean() < 0.8 * detector.losses_[:10].mean()


def test_the_untrained_network_gives_pixels_the_initial_probability(normal_images):
    detector = DRAEM(**SMALL, initial_probability=0.01)
    detector.build()
    assert dict(detector.stations(normal_images))["scores"].median() == pytest.approx(0.01, rel=0.5)


def test_batch_normalisations_know_the_final_weights(normal_images):
    detector = DRAEM(**SMALL, learning_rate=0.05).fit(normal_images)
    first = detector.reconstructive_.encoder[0][0][0]  # the first convolution and, after it, its normalisation
    found = detector.reconstructive_.encoder[0][0][1].running_mean
    with torch.no_grad():
        expected = first(normal_images).mean(dim=(0, 2, 3))
    assert (found - expected).abs().max() < 0.1 * first(normal_images).std()


def test_the_image_score_is_the_maximum_of_averages(normal_images, test_images):
    detector = DRAEM(**SMALL, score_window=5).fit(normal_images)
    stations = dict(detector.stations(test_images))
    expected = F.conv2d(stations["scores"], torch.full((1, 1, 5, 5), 1 / 25), padding=2).amax((1, 2, 3))
    torch.testing.assert_close(stations["image_scores"], expected)
    assert stations["discriminative"].shape == (4, 4, 64, 48)


@pytest.mark.parametrize("size", [(33, 50), (64, 47)])
def test_sides_need_not_be_divided_by_the_levels(size):
    detector = DRAEM(**SMALL)
    detector.build()
    assert dict(detector.stations(torch.rand(1, 3, *size)))["scores"].shape == (1, 1, *size)


def test_images_too_small_for_six_levels_raise(normal_images):
    with pytest.raises(ValueError, match="32 pixels or more are needed"):
        DRAEM(**SMALL).fit(normal_images[..., :31])


def test_the_learning_rate_rises_and_falls_or_has_the_steps_of_the_code():
    warm, code = (DRAEM(steps=400, schedule=name) for name in ("warm", "steps"))
    rates = [warm._rate(step) for step in range(400)]
    assert rates[0] == pytest.approx(1 / 40)
    assert rates[39:41] == pytest.approx([1, 1])
    assert rates[220] == pytest.approx(0.5)  # half of the fall
    assert rates == sorted(rates[:40]) + sorted(rates[40:], reverse=True)
    assert 0 < rates[-1] < 1e-4
    assert [code._rate(step) for step in (0, 319, 320, 359, 360, 399)] == pytest.approx([1, 1, 0.2, 0.2, 0.04, 0.04])


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("lowest_opacity", 2), ("initial_probability", 0), ("score_window", 4), ("schedule", "cosine")],
)
def test_a_hyperparameter_out_of_range_raises(name, value):
    with pytest.raises(ValueError, match=name):
        DRAEM(**{name: value})
