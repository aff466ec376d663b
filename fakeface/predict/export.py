"""A detector as one ONNX file that runs without this project: pixels in, calibrated probability of fake out.

Inside the graph: crops, normalisation, network, the mean over crops and mirror images where the card says so, temperature.
Outside, because no ONNX operator decodes a file or resizes as Pillow does: decoding, resizing, the centre square; the file's
metadata describes them.
"""

import copy
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fakeface.core.errors import UserError
from fakeface.core.files import whole
from fakeface.detector.networks import NETWORKS
from fakeface.detector.predictor import Predictor, Views

TOLERANCE = 1e-4  # of a score, between the file and PyTorch in fp32


class WholeDetector(nn.Module):
    """From pixels to scores, nothing outside: uint8 [N, 3, S, S] -> float32 [N].

    Args:
        model: gives logits [N, 2]; card: of its checkpoint.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, card: dict[str, Any]) -> None:
        super().__init__()
        network = NETWORKS[card["network"]]
        mean, std = (torch.tensor(value).mul(255).view(1, 3, 1, 1) for value in (network.mean, network.std))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.model, self.temperature = model, card["temperature"]
        self.views = Views.of_card(card)

    def forward(self, pixels: Tensor) -> Tensor:
        views = self.views((pixels.float() - self.mean) / self.std)
        # as one batch, so that the network is in the graph only once
        logits: Tensor = self.model(torch.cat(views) if len(views) > 1 else views[0])
        if len(views) > 1:
            logits = logits.view(len(views), -1, 2).mean(0)
        return torch.sigmoid((logits[:, 1] - logits[:, 0]) / self.temperature)


def export_onnx(predictor: Predictor, path: Path) -> float:
    """Writes the detector as ONNX (fp32, any number of images at once), then checks the file and runs it.

    The same detector and the same versions of torch and onnxscript give the same bytes. The metadata holds `card` (the
    checkpoint's, as JSON), `threshold`, `classes`, `score` and `preprocessing`.

    Returns:
        The largest difference between its scores and PyTorch's in fp32, on eight images of noise.

    Raises:
        UserError: the file cannot be written, or does not give PyTorch's scores.
    """
    import onnx

    detector = WholeDetector(copy.deepcopy(predictor.model), predictor.card).float().cpu().eval()
    detector = detector.to(memory_format=torch.contiguous_format)
    proto = _graph(detector, predictor.card["image_size"])
    for key, value in metadata(predictor.card).items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    size = predictor.card["image_size"]
    pixels = np.random.default_rng(0).integers(0, 256, (8, 3, size, size), dtype=np.uint8)
    with torch.inference_mode():
        expected = detector(torch.from_numpy(pixels)).numpy()
    try:
        with whole(path) as partial:
            onnx.save_model(proto, partial)
            onnx.checker.check_model(partial)
            difference = float(np.abs(session(partial).run(None, {"pixels": pixels})[0] - expected).max())
            if not difference <= TOLERANCE:
                raise UserError(
                    f"{path}: not written, its scores are up to {difference:.2g} from PyTorch's; please report it"
                )
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another --output") from None
    return difference


def session(path: Path, threads: int = 1) -> Any:
    """The file in onnxruntime, on the CPU: an `onnxruntime.InferenceSession`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def metadata(card: dict[str, Any]) -> dict[str, str]:
    """What the file says of itself: texts by key."""
    size = card["image_size"]
    resized = (
        f"resize the shorter side to {size} pixels (Pillow's antialiased bilinear, the longer side rounded down), cut out the "
        f"centre {size} x {size}"
    )
    if card.get("pixels") == "native":
        resized = (
            f"from a photo larger than {size} x {size} cut {size} x {size} original pixels around the middle of the face; from "
            f"another, {resized}"
        )
    shown = card | {"weights": Path(card["weights"]).name}  # perhaps a path of this machine
    return {
        "card": json.dumps(shown, ensure_ascii=False),
        "threshold": repr(card["threshold"]),
        "classes": json.dumps(card["classes"]),
        "score": "probability of fake, calibrated; called fake where score >= threshold",
        "preprocessing": f"decode; apply the EXIF orientation; RGB; {resized}; uint8 [N, 3, {size}, {size}], 0 to 255",
    }


def _graph(detector: WholeDetector, size: int) -> Any:
    """The traced graph as an `onnx.ModelProto`, without the traces of where in which source file each node was made."""
    example = (torch.zeros(2, 3, size, size, dtype=torch.uint8),)
    shapes = {"pixels": {0: torch.export.Dim("N", min=1)}}
    options: dict[str, Any] = {"dynamo": True, "dynamic_shapes": shapes, "verbose": False}
    logging.disable(logging.WARNING)  # torch, onnxscript and onnx_ir talk of themselves
    try:
        with warnings.catch_warnings(action="ignore"), torch.no_grad():
            program = torch.onnx.export(detector, example, input_names=["pixels"], output_names=["score"], **options)
    finally:
        logging.disable(logging.NOTSET)
    assert program is not None
    proto = program.model_proto
    graph = proto.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return proto
