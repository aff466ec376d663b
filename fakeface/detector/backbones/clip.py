"""The image encoder of CLIP ViT-B/16 (Radford et al. 2021), timm's, with a head on the tokens of four of its blocks.

The last block represents what a picture shows; traces of a generator are stronger in the middle ones (Koutlis and Papadopoulos
2024, arXiv:2402.19091, "Leveraging representations from intermediate encoder-blocks for synthetic image detection").

Importing this module takes 2.5 s (timm); `networks.build_1000` does so when the network is asked for. Tensors have timm's
names, so its state dicts fit.
"""

import logging
from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
from timm import create_model
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import interpolate, layer_norm

Blocks = list[tuple[Tensor, Tensor]]
SIDE = 224  # pixels; the position embedding has 14 x 14 patches of 16
BLOCKS = [2, 5, 8, 11]  # whose outputs are read: every third of the 12


class ClipViT(VisionTransformer):
    """Normalised images [B, 3, S, S] of any S -> logits [B, classes]; resized to 224 first (bilinear, antialiased)."""

    def __init__(self, classes: int = 2) -> None:
        norm = partial(nn.LayerNorm, eps=1e-5)
        # patches of 16 and 12 blocks of width 768 with 12 heads are timm's default
        super().__init__(SIDE, num_classes=0, pre_norm=True, norm_layer=norm, act_layer="quick_gelu")
        self.norm = nn.Identity()  # of the last block alone; here each block's tokens are normalised, without weights
        self.head = nn.Linear(2 * len(BLOCKS) * self.embed_dim, classes)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        if x.shape[-1] != SIDE:  # in fp32: bf16 has too few bits for pixels that are added up
            with torch.autocast(x.device.type, enabled=False):
                x = interpolate(x.float(), SIDE, mode="bilinear", antialias=True)
        blocks = self.forward_intermediates(
            x, BLOCKS, return_prefix_tokens=True, output_fmt="NLC", intermediates_only=True
        )  # of each [B, 196, 768], the patches, and [B, 1, 768], the class token
        pooled = torch.stack([t for patches, token in cast(Blocks, blocks) for t in (token[:, 0], patches.mean(1))], 1)
        return self.head(layer_norm(pooled.float(), (self.embed_dim,)).flatten(1))


def openai() -> Mapping[str, Tensor]:
    """OpenAI's weights, downloaded by timm from Hugging Face or taken from its cache; raises what these raise."""
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # without network, a page of retries
    return create_model("vit_base_patch16_clip_quickgelu_224.openai", pretrained=True).state_dict()


def with_own_head(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with the model's own head in the place of the last norm and of the 512 outputs that CLIP compares with texts."""
    kept = {name: value for name, value in state.items() if not name.startswith(("head.", "norm."))}
    return kept | {name: value for name, value in model.state_dict().items() if name.startswith("head.")}
