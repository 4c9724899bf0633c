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
    perlin_noise,
    recoloured,
    shuffled_blocks,
    structural_similarity,
)

SMALL = {"reconstructive_width": 4, "discriminative_width": 4, "steps": 3, "training_batch_size": 4}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_anomalies_are_painted_inside_the_mask_and_nowhere_else(normal_images):
    images = normal_images.repeat(4, 1, 1, 1)
    painted, masks = DRAEM(**SMALL).painted(images, normal_images, None)
    inside = masks.bool().unsqueeze(1).expand_as(images)
    assert torch.equal(painted[~inside], images[~inside])
    assert (painted[inside] != images[inside]).float().mean() > 0.9
    assert painted.min() >= 0
    assert painted.max() <= 1


def test_about_half_of_the_images_stay_normal_and_masks_are_spots(normal_images):
    masks = DRAEM(**SMALL).painted(normal_images.repeat(40, 1, 1, 1), normal_images, None)[1]
    shares = masks.flatten(1).mean(1)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert 0.45 < (shares == 0).float().mean() < 0.75  # half by choice, some because the noise stays below
    assert 0.005 < shares[shares > 0].mean() < 0.3


def test_the_lowest_opacity_bounds_how_faint_an_anomaly_is(tmp_path, monkeypatch):
    monkeypatch.setattr("iadlib.detectors.draem.recoloured", lambda pattern: pattern)
    Image.new("RGB", (8, 8), (255, 255, 255)).save(tmp_path / "white.png")
    black = torch.zeros(60, 3, 64, 48)
    detector = DRAEM(**SMALL, lowest_opacity=0.6)
    painted, masks = detector.painted(black, black, [tmp_path / "white.png"])
    seen = painted[masks.unsqueeze(1).expand_as(painted) > 0]
    assert 0.6 <= seen.min() < 0.7 < seen.max() <= 1


def test_perlin_noise_is_zero_in_the_mean_and_its_structures_are_as_large_as_its_cells():
    coarse = torch.stack([perlin_noise(64, 48, 2, 2) for _ in range(200)])
    fine = torch.stack([perlin_noise(64, 48, 16, 16) for _ in range(200)])
    for noise in (coarse, fine):
        assert abs(float(noise.mean())) < 0.05
        assert noise.abs().max() <= 1
        assert noise.std() > 0.2
    steps = [float(noise.diff(dim=1).abs().mean() / noise.std()) for noise in (coarse, fine)]
    assert steps[1] / steps[0] == pytest.approx(8, rel=0.3)


def test_shuffled_blocks_are_the_images_own_pixels_in_another_order(normal_images):
    image = normal_images[0]
    shuffled = shuffled_blocks(image, 4)
    assert shuffled.shape == image.shape
    assert not torch.equal(shuffled, image)
    assert torch.equal(shuffled.flatten().sort().values, image.flatten().sort().values)
    assert shuffled_blocks(image, 5).shape == image.shape


def test_recolouring_keeps_shape_and_range():
    pattern = (torch.rand(3, 64, 48) * 255).to(torch.uint8)
    found = [recoloured(pattern) for _ in range(30)]
    assert {(f.shape, f.dtype) for f in found} == {(pattern.shape, torch.uint8)}
    assert sum(torch.equal(f, pattern) for f in found) < 3


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


def test_textures_of_a_folder_are_used(normal_images, tmp_path):
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "red.png")
    detector = DRAEM(**SMALL | {"steps": 1}, textures=str(tmp_path), lowest_opacity=1.0)
    assert detector.fit(normal_images).losses_.isfinite().all()
    grey = torch.full((40, 3, 64, 48), 0.5)
    painted, masks = detector.painted(grey, grey, [tmp_path / "red.png"])
    inside = painted.permute(0, 2, 3, 1)[masks.bool()]
    assert (inside.max(dim=1).values - inside.min(dim=1).values).mean() > 0.5  # no grey of the product


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
    detector.fit(normal_images)
    learned = [p for m in (detector.reconstructive_, detector.discriminative_) for p in m.parameters()]
    assert not any(torch.equal(a, b) for a, b in zip(fresh, learned, strict=True))
    assert detector.losses_[-10:].mean() < 0.8 * detector.losses_[:10].mean()


def test_the_image_score_is_the_maximum_of_averages(normal_images, test_images):
    detector = DRAEM(**SMALL, score_window=5).fit(normal_images)
    stations = dict(detector.stations(test_images))
    expected = F.conv2d(stations["scores"], torch.full((1, 1, 5, 5), 1 / 25), padding=2).amax((1, 2, 3))
    torch.testing.assert_close(stations["image_scores"], expected)
    assert stations["discriminative"].shape == (4, 4, 64, 48)


@pytest.mark.parametrize("size", [(33, 50), (64, 47)])
def test_sides_need_not_be_divided_by_the_levels(normal_images, size):
    detector = DRAEM(**SMALL).fit(normal_images[..., :32, :32])
    assert detector.predict(torch.rand(1, 3, *size)).maps.shape == (1, *size)


def test_images_too_small_for_six_levels_raise(normal_images):
    with pytest.raises(ValueError, match="32 pixels or more fit"):
        DRAEM(**SMALL).fit(normal_images[..., :31])


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("lowest_opacity", 2), ("score_window", 4)])
def test_a_hyperparameter_out_of_range_raises(name, value):
    with pytest.raises(ValueError, match=name):
        DRAEM(**{name: value})
