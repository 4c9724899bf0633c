"""Random fields and artificial anomalies: Perlin noise, simplex noise, and textures painted onto normal images.

All random numbers are PyTorch's: of its own generator (see `iadlib.detectors.training.seeded`), or of the one given.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

TEXTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
SKEW = (math.sqrt(3) - 1) / 2  # maps the simplex lattice to the square lattice
UNSKEW = (3 - math.sqrt(3)) / 6
# Mean square of one octave: for each corner, half the integral of r^2 (1/2 - r^2)^8 over the disc; over a cell's area.
OCTAVE_VARIANCE = math.pi / 2 * 0.5**10 / 90 * math.sqrt(3)


def perlin_noise(height: int, width: int, rows: int, columns: int) -> Tensor:
    """Perlin noise (height, width) in about [-1, 1] with rows x columns cells, rotated by a random angle.

    Perlin, "Improving noise", SIGGRAPH 2002.
    """
    y = (torch.arange(height).view(-1, 1) + 0.5) / height - 0.5
    x = (torch.arange(width).view(1, -1) + 0.5) / width - 0.5
    angle = (torch.rand(()) - 0.5) * math.pi
    y, x = (y * angle.cos() + x * angle.sin()) * rows, (x * angle.cos() - y * angle.sin()) * columns
    y, x = y - y.min(), x - x.min()
    row, column = y.long(), x.long()
    y, x = y - row, x - column
    lattice = int(column.max()) + 2
    directions = 2 * math.pi * torch.rand((int(row.max()) + 2) * lattice)
    up, right = directions.sin(), directions.cos()
    first = row * lattice + column  # index of every pixel's first corner

    def corner(down: int, across: int) -> Tensor:
        index = first + (down * lattice + across)
        return up.take(index) * (y - down) + right.take(index) * (x - across)

    fade_y, fade_x = (t**3 * (t * (6 * t - 15) + 10) for t in (y, x))
    top = torch.lerp(corner(0, 0), corner(0, 1), fade_x)
    bottom = torch.lerp(corner(1, 0), corner(1, 1), fade_x)
    return math.sqrt(2) * torch.lerp(top, bottom, fade_y)


def simplex_noise(
    count: int,
    height: int,
    width: int,
    largest_structure: float = 64.0,
    octaves: int = 6,
    persistence: float = 0.8,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Fields (count, height, width) of unit variance: the sum of octaves, each `persistence` times the one before.

    `largest_structure` is the wavelength of the first octave in pixels; every further wavelength is half the one
    before. Fields are independent of each other except for the position of the lattice, which all fields of a call
    share. The variance is taken over positions and calls: a few large structures make a whole field brighter or darker.

    The noise is Perlin's, in two dimensions (Gustavson, "Simplex noise demystified", 2005), with gradients drawn anew
    for every corner of the lattice, so that no pattern repeats.
    """
    total = torch.zeros(height * width, count, device=device)
    for octave in range(octaves):
        field = _octave(count, height, width, largest_structure / 2**octave, generator, device)
        total += persistence**octave * field
    variance = OCTAVE_VARIANCE * sum(persistence ** (2 * octave) for octave in range(octaves))
    return (total / variance**0.5).T.contiguous().view(count, height, width)


def _octave(
    count: int,
    height: int,
    width: int,
    wavelength: float,
    generator: torch.Generator | None,
    device: torch.device | str,
) -> Tensor:
    """One octave (height width, count): at every corner of a triangular lattice, a slope that fades with distance."""
    rows = torch.arange(height, device=device).view(-1, 1) / wavelength
    columns = torch.arange(width, device=device).view(1, -1) / wavelength
    shift = torch.rand(2, generator=generator, device=device)
    skew = (rows + columns) * SKEW
    i, j = columns + skew + shift[0], rows + skew + shift[1]  # on the square lattice, (H, W)
    first_i, first_j = i.floor().long(), j.floor().long()
    i, j = i - first_i, j - first_j
    lower = (i > j).long()  # which of a square's two triangles
    size_i, size_j = int(first_i.max()) + 2, int(first_j.max()) + 2
    angles = 2 * math.pi * torch.rand(count, size_i * size_j, generator=generator, device=device)
    slopes = angles.cos().T.contiguous(), angles.sin().T.contiguous()  # (corners, count)
    total = torch.zeros(height * width, count, device=device)
    for corner_i, corner_j in ((0, 0), (lower, 1 - lower), (1, 1)):
        away_i, away_j = i - corner_i, j - corner_j
        unskew = (away_i + away_j) * UNSKEW
        away = away_i - unskew, away_j - unskew
        falloff = (0.5 - away[0].square() - away[1].square()).clamp(min=0) ** 4
        corner = ((first_i + corner_i) * size_j + first_j + corner_j).flatten()
        for slope, distance in zip(slopes, away, strict=True):
            total.addcmul_(slope.index_select(0, corner), (falloff * distance).view(-1, 1))
    return total


def paint_anomalies(
    images: Tensor,
    sources: Tensor,
    textures: Sequence[Path] | None = None,
    *,
    octaves: int = 5,
    threshold: float = 0.5,
    lowest_opacity: float = 0.1,
) -> tuple[Tensor, Tensor]:
    """Images (N, 3, H, W), half of them drawn to get an anomaly, and its masks (N, H, W), 1 inside.

    Of an odd number of images, one more or one fewer is drawn. A few masks stay empty where the noise stays below the
    threshold.

    An anomaly is a random texture inside the region where Perlin noise of 2 ** 0 to 2 ** `octaves` cells a side exceeds
    `threshold`, with an opacity drawn from `lowest_opacity` to 1 (Zavrtanik et al., "DRAEM", ICCV 2021, equation 3).
    Textures are photographs of the files `textures`; without such files, one colour, coloured Perlin noise, or one of
    the images `sources` cut into shuffled blocks. Three random changes of colour are applied to each texture.
    """
    count, _, *size = images.shape
    # Half of every batch: in small batches, independent draws often leave none, and the loss varies more.
    drawn = torch.randperm(count) < (count + int(torch.randint(2, ()))) // 2
    masks = torch.stack([_mask(*size, octaves, threshold) if each else torch.zeros(*size) for each in drawn])
    patterns = torch.stack([_texture(sources, textures, size, octaves) for _ in range(count)])
    opacity = lowest_opacity + (1 - lowest_opacity) * torch.rand(count, 1, 1, 1)
    weight = (masks.unsqueeze(1) * opacity).to(images.device)
    painted = images * (1 - weight) + patterns.to(images.device) * weight
    return painted.contiguous(memory_format=torch.channels_last), masks.to(images.device)


def paint_every_image(images: Tensor, **options) -> Tensor:
    """Images (N, 3, H, W), each with an anomaly; `options` are those of `paint_anomalies`."""
    finished, missing = images.clone(), torch.ones(len(images), dtype=torch.bool)
    while missing.any():  # every call leaves about half of the images as they are
        painted, masks = paint_anomalies(images, images, **options)
        now = missing & (masks.flatten(1).sum(dim=1) > 0).cpu()
        finished[now], missing = painted[now], missing & ~now
    return finished


def texture_files(folder: str | Path) -> list[Path]:
    """Photographs anywhere below a folder, sorted by path."""
    found = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in TEXTURE_SUFFIXES)
    if not found:
        raise FileNotFoundError(f"textures {folder}: no such folder, or no {', '.join(TEXTURE_SUFFIXES)} in it")
    return found


def shuffled_blocks(image: Tensor, blocks: int) -> Tensor:
    """An image (C, H, W) cut into blocks x blocks pieces, in random order."""
    height, width = image.shape[1:]
    rows, columns = min(blocks, height), min(blocks, width)
    cropped = image[:, : height - height % rows, : width - width % columns]
    pieces = cropped.unflatten(1, (rows, -1)).unflatten(3, (columns, -1)).permute(1, 3, 0, 2, 4).flatten(0, 1)
    pieces = pieces[torch.randperm(len(pieces))].unflatten(0, (rows, columns))
    shuffled = pieces.permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)
    return F.interpolate(shuffled[None], size=(height, width), mode="nearest")[0]


def recoloured(pattern: Tensor) -> Tensor:
    """A pattern (3, H, W) of bytes after three different random changes of its colours."""
    from torchvision.transforms.v2 import functional as operations  # here, because its import takes two seconds

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand(()))

    choices = [
        lambda p: operations.adjust_gamma(p, between(0.5, 2.0)),
        lambda p: operations.adjust_brightness(p, between(0.5, 1.5)),
        lambda p: operations.adjust_sharpness(p, between(0.0, 3.0)),
        lambda p: operations.solarize(p, between(32, 128)),
        lambda p: operations.posterize(p, int(torch.randint(2, 6, ()))),
        lambda p: operations.invert(p),
        lambda p: operations.autocontrast(p),
        lambda p: operations.equalize(p),
        lambda p: operations.adjust_hue(p, between(-0.5, 0.5)),
    ]
    for chosen in torch.randperm(len(choices))[:3].tolist():
        pattern = choices[chosen](pattern)
    return pattern


def _mask(height: int, width: int, octaves: int, threshold: float) -> Tensor:
    return (perlin_noise(height, width, *_cells(octaves)) > threshold).float()


def _cells(octaves: int) -> list[int]:
    return (2 ** torch.randint(0, octaves + 1, (2,))).tolist()


def _texture(sources: Tensor, textures: Sequence[Path] | None, size: Sequence[int], octaves: int) -> Tensor:
    """A pattern (3, H, W) in [0, 1]."""
    if textures is not None:
        from torchvision.transforms.v2 import functional as operations

        path = textures[int(torch.randint(len(textures), ()))]
        with Image.open(path) as file:
            pattern = operations.to_image(file.convert("RGB"))
        pattern = operations.resize(pattern, list(size), antialias=True)
    elif (kind := int(torch.randint(3, ()))) == 0:
        pattern = torch.randint(256, (3, 1, 1), dtype=torch.uint8).repeat(1, *size)
    elif kind == 1:
        noise = torch.stack([perlin_noise(*size, *_cells(octaves)) for _ in range(3)])
        pattern = ((noise + 1) * 127.5).clamp(0, 255).to(torch.uint8)
    else:
        source = sources[int(torch.randint(len(sources), ()))].cpu()
        pattern = (shuffled_blocks(source, 2 ** int(torch.randint(1, 5, ()))) * 255).to(torch.uint8)
    return recoloured(pattern).float() / 255
