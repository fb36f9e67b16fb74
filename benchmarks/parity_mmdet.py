"""The same numbers as MMDetection: its networks with random weights, carried over by ``vf convert``.

    python benchmarks/parity_mmdet.py PEERS [--models faster_rcnn,mask_rcnn,retinanet,fcos,yolox]

PEERS is a folder with mmdet installed for the CPU (``venv/bin/python``). There each network is made, its weights are
drawn, and its detections and losses on two photographs are written down; here the checkpoint is converted, loaded and
asked the same. Sampling takes every anchor and proposal, so that nothing random is left.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

CONFIGS = {
    "faster_rcnn": "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
    "mask_rcnn": "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
    "retinanet": "retinanet/retinanet_r50_fpn_1x_coco.py",
    "fcos": "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py",
    "yolox": "yolox/yolox_tiny_8xb8-300e_coco.py",
}
RECIPES = {
    "faster_rcnn": "det/faster_rcnn_r50_fpn_1x_coco",
    "mask_rcnn": "det/mask_rcnn_r50_fpn_1x_coco",
    "retinanet": "det/retinanet_r50_fpn_1x_coco",
    "fcos": "det/fcos_r50_caffe_fpn_gn_1x_coco",
    "yolox": "det/yolox_tiny_coco",
}
SIZE = (480, 640)
BOXES = ([[30.0, 40.0, 200.0, 220.0], [300.0, 100.0, 560.0, 420.0]], [[100.0, 90.0, 180.0, 300.0]])
LABELS = ([3, 17], [56])


def photographs(data: Path) -> torch.Tensor:
    """Read two photographs, uint8 RGB [2,3,480,640]."""
    from torchvision.io import read_image

    files = sorted((data / "JPEGImages").glob("*.jpg"))[:2]
    return torch.stack([read_image(str(f))[:, : SIZE[0], : SIZE[1]] for f in files])


def lively(model: Any, loud: tuple[str, ...]) -> None:
    """Draw weights that find something: as they begin, every score is alike and every box its anchor."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        elif name.endswith(("running_mean", "num_batches_tracked")):
            continue
        elif name.endswith("bias") and not any(part in name for part in loud):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.02)
        elif any(part in name for part in loud) and name.endswith("weight"):
            scale = 0.1 if "level_conv_cls" in name else 0.02 if tensor.ndim == 2 else 0.01
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)


LOUD = ("fc_cls", "fc_reg", "rpn_cls", "rpn_reg", "retina_cls", "retina_reg", "conv_cls", "conv_reg", "conv_centerness")


def calibrate(model: Any, images: torch.Tensor) -> None:
    """Give batch norms the statistics of the photographs; drawn ones would let 100 layers overflow."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    model.train()
    with torch.no_grad():
        model.bbox_head(model.extract_feat(images.flip(1).float()))
    for norm, momentum in zip(norms, kept):  # noqa: B905 - runs under Python 3.10 of old times
        norm.momentum = momentum


def peer_side(model_name: str, folder: Path) -> None:
    """Run inside of mmdet's environment."""
    import mmdet
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmdet.utils import register_all_modules
    from mmengine.config import Config
    from mmengine.structures import InstanceData

    register_all_modules()
    root = Path(mmdet.__file__).parent / ".mim/configs"
    cfg = Config.fromfile(str(root / CONFIGS[model_name])).model
    cfg.backbone.init_cfg = None
    if model_name == "yolox":
        cfg.data_preprocessor.batch_augments = None
    if "rcnn" in model_name:
        cfg.train_cfg.rpn.sampler.num = cfg.train_cfg.rcnn.sampler.num = 1_000_000
        cfg.test_cfg.rcnn.score_thr = 0.0
    elif model_name != "yolox":
        cfg.test_cfg.score_thr = 0.0
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    lively(model, LOUD)
    images = torch.load(folder / "images.pt")
    if model_name == "yolox":
        calibrate(model, images)
    torch.save({"meta": {"mmdet_version": mmdet.__version__}, "state_dict": model.state_dict()}, folder / "theirs.pth")

    def batch(training: bool) -> Any:
        samples = []
        for boxes, labels in zip(BOXES, LABELS):  # noqa: B905 - runs under Python 3.10 of old times
            sample = DetDataSample()
            sample.set_metainfo({"img_shape": SIZE, "ori_shape": SIZE, "scale_factor": (1.0, 1.0), "pad_shape": SIZE})
            instances = InstanceData(bboxes=torch.tensor(boxes), labels=torch.tensor(labels))
            if model_name == "mask_rcnn":
                instances.masks = BitmapMasks(torch.stack([drawn(b) for b in boxes]).numpy().astype("uint8"), *SIZE)
            sample.gt_instances = instances
            sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
            samples.append(sample)
        given = {"inputs": [image.flip(0) for image in images], "data_samples": samples}
        return model.data_preprocessor(given, training)

    model.eval()
    with torch.no_grad():
        predicted = model(**batch(False), mode="predict")
    found = [
        {
            "boxes": p.pred_instances.bboxes,
            "scores": p.pred_instances.scores,
            "labels": p.pred_instances.labels,
            **({"masks": p.pred_instances.masks.sum((1, 2))} if model_name == "mask_rcnn" else {}),
        }
        for p in predicted
    ]
    with torch.no_grad():
        losses = model(**batch(True), mode="loss")  # statistics of batch norms stay: evaluation mode
    flat = {k: float(sum(v) if isinstance(v, list) else v) for k, v in losses.items() if "loss" in k}
    torch.save({"found": found, "losses": flat}, folder / "theirs.pt")


def drawn(box: list[float]) -> torch.Tensor:
    """Draw the ellipse in a box, bool [H,W]."""
    y, x = torch.meshgrid(torch.arange(SIZE[0]) + 0.5, torch.arange(SIZE[1]) + 0.5, indexing="ij")
    across = (x - (box[0] + box[2]) / 2) / ((box[2] - box[0]) / 2)
    down = (y - (box[1] + box[3]) / 2) / ((box[3] - box[1]) / 2)
    return across**2 + down**2 <= 1


def own_side(model_name: str, folder: Path) -> tuple[list[Any], dict[str, float]]:
    """Convert the checkpoint, and predict and take losses with it."""
    from vf.conversion import Order, convert
    from vf.data.sample import Batch
    from vf.engine.checkpoint import load_into, read_weights
    from vf.foreign import read_foreign
    from vf.recipes import from_text

    every = ("model.score_threshold=0.0", "model.backbone.pretrained=''")
    if "rcnn" in model_name:
        every += ("model.rpn.samples=1000000", "model.head.samples=1000000")
    if model_name == "yolox":
        every = (f"model.size=[{SIZE[0]}, {SIZE[1]}]",)
    out = folder / "ours.safetensors"
    order = Order(source="mmdet", to=RECIPES[model_name], overrides=every)
    for line in convert(read_foreign(folder / "theirs.pth"), out, order).lines:
        print("   ", line[:150])
    weights = read_weights(out)
    model: Any = from_text(weights.recipe, "recipe").recipe.model.build(weights.info)
    load_into(model, weights.tensors, out)
    images = torch.load(folder / "images.pt", weights_only=True)
    counts = tuple(len(b) for b in BOXES)
    targets: dict[str, Any] = {
        "boxes": torch.tensor([row for rows in BOXES for row in rows]),
        "labels": torch.tensor([label for labels in LABELS for label in labels]),
    }
    if model_name == "mask_rcnn":
        targets["masks"] = torch.stack([drawn(box) for boxes in BOXES for box in boxes])
    batch = Batch(
        images=images,
        sizes=torch.tensor([SIZE, SIZE]),
        original=torch.tensor([SIZE, SIZE]),
        ids=("a", "b"),
        targets=targets,
        counts=dict.fromkeys(targets, counts),
    )
    with torch.no_grad():
        found = model.eval()(batch)
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()
        losses = {name: float(value) for name, value in model(batch).items() if not name.startswith("_")}
    return found, losses


def compare(ours: list[Any], theirs: list[Any]) -> tuple[float, float, int, int]:
    """Match each of their detections with the nearest of ours of its class; return px, score, matched, all."""
    px, score, matched, count = 0.0, 0.0, 0, 0
    for own, other in zip(ours, theirs, strict=True):
        for box, value, label in zip(other["boxes"], other["scores"], other["labels"], strict=True):
            count += 1
            same = (own["labels"] == label).nonzero()[:, 0]
            if not len(same):
                continue
            distance = (own["boxes"][same] - box).abs().amax(1)
            best = int(distance.argmin())
            if distance[best] < 1:
                matched += 1
                px = max(px, float(distance[best]))
                score = max(score, abs(float(own["scores"][same[best]] - value)))
    return px, score, matched, count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("peers", type=Path)
    parser.add_argument("--models", default=",".join(CONFIGS))
    parser.add_argument("--peer-side", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer_side:
        peer_side(options.peer_side[0], Path(options.peer_side[1]))
        return
    rows = []
    for name in options.models.split(","):
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            torch.save(photographs(options.peers / "bccd/BCCD"), folder / "images.pt")
            command = [str(options.peers / "venv/bin/python"), __file__, str(options.peers), "--peer-side", name, made]
            subprocess.run(
                command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONWARNINGS": "ignore"}
            )
            print(name, flush=True)
            found, losses = own_side(name, folder)
            theirs = torch.load(folder / "theirs.pt", weights_only=True)
        px, score, matched, count = compare(found, theirs["found"])
        rows.append(
            f"| {name} | {matched} of {count} | {px:.1e} | {score:.1e} | {shown(losses)} | {shown(theirs['losses'])} |"
        )
    print("| model | detections found again | boxes, px | scores | losses of vf | losses of mmdet |")
    print("|---|---|---|---|---|---|")
    print("\n".join(rows))


def shown(losses: dict[str, float]) -> str:
    """Write losses in a cell."""
    return ", ".join(f"{name.removeprefix('loss_')} {value:.5f}" for name, value in losses.items())


if __name__ == "__main__":
    sys.exit(main())
