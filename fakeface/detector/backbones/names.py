"""What is known of each network without torch, so that a card is checked and a photo decoded before torch is imported."""

from dataclasses import dataclass

CLASSES = ("real", "fake")  # index = label; the score is the probability of class 1, fake
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


@dataclass(frozen=True)
class Network:
    """`mean`, `std`: per channel, of pixels in 0..1. `head`: dotted name of the last linear layer. `side`: pixels, to which
    the network itself resizes its crop (antialiased bilinear); 0 where it takes the crop as it is. `uneven`: some of its features
    vary a hundred times as much as others, so a head on them wants them standardised."""

    name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    head: str
    side: int = 0
    uneven: bool = False


NETWORKS = {
    "mynet": Network("mynet", *IMAGENET, head="head"),
    "vgg11": Network("vgg11", *IMAGENET, head="classifier.6"),
    "resnet18": Network("resnet18", *IMAGENET, head="fc"),
    "efficientnet_lite0": Network("efficientnet_lite0", *HALF, head="classifier"),
    "clip_vit_b16": Network("clip_vit_b16", *OPENAI, head="head", side=224, uneven=True),
}
