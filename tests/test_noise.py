import numpy as np
import pytest
import torch
from PIL import Image

from iadlib.noise import (
    paint_anomalies,
    paint_every_image,
    perlin_noise,
    recoloured,
    shuffled_blocks,
    simplex_noise,
    texture_files,
)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_anomalies_are_painted_inside_the_mask_and_nowhere_else(normal_images):
    images = normal_images.repeat(4, 1, 1, 1)
    painted, masks = paint_anomalies(images, normal_images)
    inside = masks.bool().unsqueeze(1).expand_as(images)
    assert torch.equal(painted[~inside], images[~inside])
    assert (painted[inside] != images[inside]).float().mean() > 0.9
    assert painted.min() >= 0
    assert painted.max() <= 1


def test_about_half_of_the_images_stay_normal_and_masks_are_spots(normal_images):
    masks = paint_anomalies(normal_images.repeat(20, 1, 1, 1), normal_images)[1]
    shares = masks.flatten(1).mean(1)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert 0.45 < (shares == 0).float().mean() < 0.75  # half by choice, some because the noise stays below
    assert 0.005 < shares[shares > 0].mean() < 0.3


def test_half_of_a_small_batch_gets_an_anomaly(normal_images):
    painted = [paint_anomalies(normal_images[:2], normal_images)[1].flatten(1).any(dim=1).sum() for _ in range(30)]
    assert max(painted) == 1
    assert sum(painted) > 20  # a few masks are empty


def test_the_lowest_opacity_bounds_how_faint_an_anomaly_is(tmp_path, monkeypatch):
    monkeypatch.setattr("iadlib.noise.recoloured", lambda pattern: pattern)
    Image.new("RGB", (8, 8), (255, 255, 255)).save(tmp_path / "white.png")
    black = torch.zeros(60, 3, 64, 48)
    painted, masks = paint_anomalies(black, black, texture_files(tmp_path), lowest_opacity=0.6)
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


def power(fields):
    """Mean power (H / 2,) of fields (n, H, H) at 0, 1, 2 ... waves a side, averaged over directions."""
    side = fields.shape[-1]
    spectrum = np.square(np.abs(np.fft.fft2(fields.numpy()))).mean(axis=0)
    frequency = np.fft.fftfreq(side, 1 / side)
    ring = np.hypot(frequency[:, None], frequency[None]).round().astype(int).ravel()
    return (np.bincount(ring, spectrum.ravel()) / np.bincount(ring))[: side // 2]


def octave(wavelength, calls=30, side=128):
    generator = torch.Generator().manual_seed(0)
    fields = [simplex_noise(4, side, side, wavelength, 1, generator=generator) for _ in range(calls)]
    return torch.cat(fields)


def kernel_power(wavelength, side=128):
    """The spectrum that one corner's contribution has: corners are independent, so that their powers add up."""
    place = (np.arange(side) - side / 2 + 0.37) / wavelength
    y, x = np.meshgrid(place, place, indexing="ij")
    bump = np.maximum(0.5 - x**2 - y**2, 0) ** 4
    return power(torch.tensor(np.stack([bump * x, bump * y])))


@pytest.mark.parametrize("wavelength", [16, 8, 4])
def test_an_octaves_power_lies_where_its_wavelength_says(wavelength):
    found, expected = power(octave(wavelength)), kernel_power(wavelength)
    found, expected = found / found.sum(), expected / expected.sum()
    assert abs(int(found.argmax()) - 0.76 * 128 / wavelength) <= 0.15 * 128 / wavelength + 1
    assert np.abs(found - expected).sum() < 0.1  # of 2 at most
    assert found[int(1.8 * 128 / wavelength) :].sum() < 0.05


def test_octaves_add_up_with_the_persistence():
    generator = torch.Generator().manual_seed(0)
    whole = power(torch.cat([simplex_noise(4, 128, 128, 32, 3, 0.5, generator) for _ in range(30)]))
    parts = [0.25**k * power(octave(32 / 2**k)) for k in range(3)]
    expected = sum(parts) / (1 + 0.25 + 0.0625)
    assert np.abs(whole - expected).sum() / expected.sum() < 0.1


@pytest.mark.parametrize("persistence", [0.3, 0.8, 1.0])
def test_simplex_noise_has_unit_variance_and_no_mean(persistence):
    generator = torch.Generator().manual_seed(0)
    fields = torch.cat([simplex_noise(8, 64, 48, 16, 3, persistence, generator) for _ in range(40)])
    assert abs(float(fields.var()) - 1) < 0.03
    assert abs(float(fields.mean())) < 0.03


def test_a_seed_decides_the_noise():
    fields = [simplex_noise(2, 40, 30, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(fields[0], fields[1])
    assert not torch.equal(fields[0], fields[2])
    assert abs(float(torch.corrcoef(fields[0].flatten(1))[0, 1])) < 0.9  # two fields of a call differ


def test_every_image_is_painted_once(normal_images):
    painted = paint_every_image(normal_images)
    changed = (painted != normal_images).flatten(1).float().mean(dim=1)
    assert (changed > 0).all()
    assert (changed < 0.9).all()


def test_textures_of_a_folder_are_used(tmp_path):
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "red.png")
    grey = torch.full((200, 3, 64, 48), 0.5)
    painted, masks = paint_anomalies(grey, grey, texture_files(tmp_path), lowest_opacity=1.0)
    inside = painted.permute(0, 2, 3, 1)[masks.bool()]
    assert (inside.max(dim=1).values - inside.min(dim=1).values).mean() > 0.5  # the images themselves are grey


def test_a_folder_without_textures_raises_and_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        texture_files(tmp_path)
