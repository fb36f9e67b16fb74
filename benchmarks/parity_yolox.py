"""Carry the published YOLOX-nano into our network, and show that it says the same and scores the same.

    python benchmarks/parity_yolox.py [--onnx FILE] [--coco FOLDER] [--out FOLDER]

The file is the authors' ONNX export (Apache-2.0) for 416×416 pixels, with batch norm folded into the
convolutions. Two checks: the raw output of our head against onnxruntime's on the same random pixels, and our
predictions on 128 images of COCO, by `vf run test`, against what the file scored in a pipeline that shares no
code with this one. Writes a checkpoint that predicts: vf run infer FOLDER IMAGE.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from vf.console import Console
from vf.engine.checkpoint import save_weights
from vf.launch import Measurement
from vf.measure import measure
from vf.recipes import resolve
from vf_det.format_configs import Coco
from vf_det.yolox.head import Output, decode
from vf_det.yolox.model import YOLOX

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
SIZE = (416, 416)
TOLERANCE = 1e-3
"""Of boxes in pixels, and of object and class probabilities; float32 in two libraries."""
EXPECTED = {"AP": 33.8, "AP50": 49.8}
MARGIN = 0.2


def nano(*, num_classes: int = 80) -> YOLOX:
    """Build YOLOX-nano without batch norm, in evaluation mode."""
    model = YOLOX(
        num_classes=num_classes,
        depth=0.33,
        width=0.25,
        depthwise=True,
        size=SIZE,
        score_threshold=0.001,
        nms_iou=0.65,
        max_detections=300,
        fused=True,
    )
    return model.eval()


def call_order(model: YOLOX) -> list[str]:
    """Return the names of the convolutions in the order in which the network calls them."""
    called: list[str] = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    with torch.inference_mode():
        model.predict_cells(torch.zeros(1, 3, *SIZE))
    for hook in hooks:
        hook.remove()
    return called


def carry(onnx_path: Path) -> dict[str, Tensor]:
    """Return a state dict for `nano()`.

    The file names its weights with bare numbers, so they are matched by order: the n-th convolution of the
    graph is the n-th that our network calls. Shapes are compared one by one.
    """
    graph = onnx.load(str(onnx_path)).graph
    tensors = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    model = nano()
    state = dict(model.state_dict())
    order = call_order(model)
    if len(order) != len(nodes):
        sys.exit(f"{onnx_path}: expected {len(order)} convolutions, the graph has {len(nodes)}")
    for name, node in zip(order, nodes, strict=True):
        for kind, source in zip(("weight", "bias"), node.input[1:], strict=True):
            key, value = f"{name}.{kind}", tensors[source]
            if state[key].shape != value.shape:
                shapes = f"expected {tuple(state[key].shape)}, got {tuple(value.shape)}"
                sys.exit(f"{key}: {shapes} in node {node.name} of {onnx_path}")
            state[key] = value
    return state


def as_exported(output: Output) -> Tensor:
    """Lay our output [1,A,...] out like the file's: raw box, object and class probabilities, [1,A,85]."""
    return torch.cat((output.boxes, output.objects.sigmoid()[..., None], output.classes.sigmoid()), dim=-1)


def compare_raw(model: YOLOX, onnx_path: Path) -> bool:
    """Print the largest differences between our head and onnxruntime's on random pixels."""
    session = onnxruntime.InferenceSession(str(onnx_path), providers=["CPUExecutionProvider"])
    images = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0)) * 255
    theirs = torch.from_numpy(np.asarray(session.run(None, {"images": images.numpy()})[0]))
    with torch.inference_mode():
        output = model.predict_cells(images)
    ours = as_exported(output)
    cells = output.cells
    diffs = {
        "raw output": (ours - theirs).abs().max().item(),
        "probabilities": (ours[..., 4:] - theirs[..., 4:]).abs().max().item(),
        "boxes, px": (decode(ours[..., :4], cells) - decode(theirs[..., :4], cells)).abs().max().item(),
    }
    for name, diff in diffs.items():
        print(f"{name:14} max abs diff {diff:.2e}  (tolerance {TOLERANCE:g})")
    return max(diffs.values()) < TOLERANCE


def write_checkpoint(model: YOLOX, coco: Path, folder: Path) -> Path:
    """Write the weights as a vf checkpoint; the class list comes from the COCO json."""
    data = Coco(path=str(coco), val="annotations/instances_val2017_boxes.json")
    overrides = ("model.fused=true", f"data.path={coco}", f"data.val={data.val}")
    recipe = resolve("det/yolox_nano_coco", overrides=overrides)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.safetensors"
    save_weights(model, path, recipe=recipe.yaml(), info=data.info())
    return path


def main() -> int:
    """Print the comparison; exit code 1 where it fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--onnx", type=Path, default=DATA / "weights/yolox_nano_onnx/yolox_nano.onnx")
    parser.add_argument("--coco", type=Path, default=DATA / "coco_val128", help="folder with 128 COCO images")
    parser.add_argument("--out", type=Path, default=Path("runs/yolox_nano_published"), help="for the checkpoint")
    args = parser.parse_args()
    model = nano()
    model.load_state_dict(carry(args.onnx))
    same = compare_raw(model, args.onnx)
    path = write_checkpoint(model, args.coco, args.out)
    print(f"wrote {path}; the same as: vf run test {args.out} --device cpu")
    with Console() as console:
        scores = measure(Measurement(checkpoint=str(path), device="cpu"), console).evaluation.numbers
    for name, value in scores.items():
        wanted = f"  (expected {EXPECTED[name]} ± {MARGIN})" if name in EXPECTED else ""
        print(f"{name:10} {100 * (value or 0.0):6.2f}{wanted}")
    near = all(abs(100 * (scores[name] or 0.0) - value) <= MARGIN for name, value in EXPECTED.items())
    print("same" if same and near else "NOT the same")
    return 0 if same and near else 1


if __name__ == "__main__":
    sys.exit(main())
