"""Export every family of models to ONNX and hold the file against the model, on real images.

    python benchmarks/parity_export.py [NAMES…] [--onnx FILE] [--images FOLDER]

The first lines are the published YOLOX-nano: its own ONNX file and our export of the same weights, run in onnxruntime
on the same pixels. The others have random weights with the batch norms of these images, and heads that are spread so
that there is something to find: scores of all sizes, few above the thresholds, as those of a trained detector. Each is
written by what `vf run export` calls, opened in onnxruntime, and compared on images of COCO: the largest difference of
an output as a part of its largest value, and what became of predictions.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import onnxruntime
import torch
from parity_yolox import carry, nano
from torch import Tensor, nn
from torchvision import tv_tensors

from vf.data.decode import decode
from vf.data.sample import Sample
from vf.errors import VFError
from vf.export.formats import open_written, write
from vf.export.parity import Parity, compare
from vf.export.spec import Spec
from vf.export.write import batches_of, shaped, spec_of
from vf.nn.preprocess import Letterbox
from vf.orders import ExportOrder
from vf.protocols import DatasetInfo
from vf.recipes import resolve
from vf_det.yolox.head import Cells
from vf_det.yolox.head import decode as decode_boxes
from vf_ocr.detection.dbnet import DBHead
from vf_ocr.detection.psenet import MapsHead
from vf_seg.models.segmenter import Segmenter

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
COUNT = 5
"""Images of each row."""
LETTERS = tuple("0123456789abcdefghijklmnopqrstuvwxyz")
BACKGROUND = 4.0
"""Added to the logit of background: most regions then score under the threshold, as in trained detectors."""
TEXT = -3.0
"""Mean logit of text: a small part of an image is over the thresholds."""


@attrs.frozen(kw_only=True)
class Family:
    """A row: a recipe and what is changed of it."""

    recipe: str
    order: dict[str, Any] = attrs.field(factory=dict)
    short: int = 256
    """Of images that keep their ratio, px."""
    words: bool = False
    """Whether it reads crops."""


SIZE = {"size": (256, 320), "dynamic": ("batch",)}
FAMILIES = {
    "YOLOX": Family(recipe="det/yolox_nano_coco"),
    "FCOS": Family(recipe="det/fcos_r50_caffe_fpn_gn_1x_coco"),
    "FCOS, root of scores": Family(recipe="det/fcos_r50_caffe_fpn_gn_center_giou_1x_coco"),
    "RetinaNet": Family(recipe="det/retinanet_r18_fpn_1x_coco"),
    "SSD300": Family(recipe="det/ssd300_coco"),
    "SSDLite": Family(recipe="det/ssdlite_mobilenetv2_coco"),
    "Faster R-CNN": Family(recipe="det/faster_rcnn_r50_fpn_1x_coco"),
    "Mask R-CNN": Family(recipe="det/mask_rcnn_r50_fpn_1x_coco"),
    "Cascade R-CNN": Family(recipe="det/cascade_rcnn_r50_fpn_1x_coco"),
    "Cascade Mask R-CNN": Family(recipe="det/cascade_mask_rcnn_r50_fpn_1x_coco"),
    "Panoptic FPN": Family(recipe="det/panoptic_fpn_r50_fpn_1x_coco"),
    "ResNet-20 (CIFAR)": Family(recipe="cls/resnet20_cifar10"),
    "ResNet-50": Family(recipe="cls/resnet50_imagenet"),
    "MobileNetV3": Family(recipe="cls/mobilenet_v3_small_imagenet"),
    "EfficientNet": Family(recipe="cls/efficientnet_b0_imagenet"),
    "ConvNeXt": Family(recipe="cls/convnext_tiny_imagenet"),
    "DeiT": Family(recipe="cls/deit_tiny_imagenet"),
    "Swin": Family(recipe="cls/swin_t_imagenet"),
    "FCN": Family(recipe="seg/fcn_r50-d8_512x512_20k_voc12aug"),
    "PSPNet": Family(recipe="seg/pspnet_r50-d8_512x512_20k_voc12aug"),
    "DeepLabV3": Family(recipe="seg/deeplabv3_r50-d8_512x512_20k_voc12aug"),
    "DeepLabV3+": Family(recipe="seg/deeplabv3plus_r50-d8_512x512_20k_voc12aug"),
    "UPerNet": Family(recipe="seg/upernet_r50_512x512_20k_voc12aug"),
    "OCRNet": Family(recipe="seg/ocrnet_hr18_512x512_20k_voc12aug"),
    "SegFormer": Family(recipe="seg/segformer_mit-b0_512x512_160k_ade20k"),
    "U-Net": Family(recipe="seg/unet_s5-d16_512x1024_160k_cityscapes"),
    "LR-ASPP": Family(recipe="seg/lraspp_mobilenet_v3_large_512x512_40k_voc12aug"),
    "Fast-SCNN": Family(recipe="seg/fast_scnn_camvid"),
    "U-Net of segmentation_models": Family(recipe="seg/smp_unet_resnet34_512x512_40k_voc12aug"),
    "UPerNet, Swin": Family(recipe="seg/upernet_swin_t_512x512_160k_ade20k", order=SIZE),
    "DBNet": Family(recipe="ocr/dbnet_r18_fpnc_1200e_icdar2015"),
    "DBNet, deformable": Family(recipe="ocr/dbnet_r50dcnv2_fpnc_1200e_icdar2015"),
    "DBNet++": Family(recipe="ocr/dbnetpp_r50_fpnc_1200e_icdar2015"),
    "PSENet": Family(recipe="ocr/psenet_r50_fpnf_sbn_1x_icdar2015"),
    "PAN": Family(recipe="ocr/panet_r18_fpem_ffm_600e_icdar2015"),
    "CRNN": Family(recipe="ocr/crnn_custom", words=True),
    "SVTR": Family(recipe="ocr/svtr-tiny_20e_st_mj", words=True),
    "NRTR": Family(recipe="ocr/nrtr_modality-transform_6e_st_mj", words=True),
    "PARSeq": Family(recipe="ocr/parseq_20e_st_mj", words=True),
    "DBNet and CRNN as one": Family(recipe="ocr/quickstart"),
}


def built(family: Family) -> tuple[Any, Any, DatasetInfo]:
    """Return a model with random weights, its recipe and made-up facts."""
    recipe = resolve(family.recipe)
    task = recipe.recipe.task
    classes = LETTERS if task == "ocr" else tuple(f"class {k}" for k in range(20))
    info = DatasetInfo(classes=classes, stuff=("sky", "road"), task=task, num_samples={}, fingerprint="none")
    torch.manual_seed(0)
    model: Any = recipe.recipe.model.build(info)
    rules = model.preprocess
    if hasattr(rules, "whole"):
        rules.whole = False
    if hasattr(rules, "long"):
        rules.short, rules.long = family.short, 2 * family.short
    return model.eval(), recipe, info


@torch.no_grad()
def settle(model: Any, samples: list[Sample]) -> None:
    """Let batch norms take the statistics of some images: new ones would let features fade away in deep nets."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = 1.0
    batch = batches_of(model, samples[:3], 2)[0]
    if isinstance(model, Segmenter):  # which sees one image at a time, and a mean over one has no deviation
        model.raw(batch.images, batch.sizes)
    else:
        model(batch)
    for norm in norms:
        # Of channels that say the same everywhere, which random nets have, a norm would show rounding errors alone.
        norm.eval().running_var.clamp_(min=norm.running_var.mean())  # type: ignore[operator, union-attr]


def heads(model: nn.Module) -> Iterator[tuple[Any, float | None]]:
    """Yield what scores, with the mean that its logits shall have; None: as it is."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and ({"classes", "objects"} & set(name.split(".")[-2:])):
            yield module, None
        elif isinstance(module, DBHead):
            yield module.kernels[-1], TEXT
        elif isinstance(module, MapsHead):
            yield module.maps, 0.0


@torch.no_grad()
def spread(model: Any, samples: list[Sample]) -> None:
    """Let what scores say different things of different places: a deviation of 2 around few that score."""
    batch = batches_of(model, samples[:2], 2)[0]
    for module in model.modules():
        if isinstance(module, nn.ConvTranspose2d):  # the same for all pixels of a cell, or no two would hang together
            module.weight.data.copy_(module.weight.data.mean((2, 3), keepdim=True).expand_as(module.weight))
        if isinstance(module, MapsHead):  # kernels lie in text
            module.maps.weight.data.copy_(module.maps.weight.data[:1].expand_as(module.maps.weight))
    for head, mean in heads(model):
        seen: list[Tensor] = []
        hook = head.register_forward_hook(lambda module, given, out, seen=seen: seen.append(out))
        model(batch)
        hook.remove()
        if not seen:
            continue
        values = torch.cat([value.flatten() for value in seen])
        scale = 2 / values.std().clamp(min=1e-6)
        head.weight.data.mul_(scale)
        if mean is not None:
            head.bias.data.add_(mean - head.bias.data - scale * (values.mean() - head.bias.data.mean()))
    for stage in getattr(model, "stages", ()):
        stage.classes.bias.data.zero_()
        stage.classes.bias.data[-1] = BACKGROUND


def exported(model: Any, recipe: Any, info: DatasetInfo, samples: list[Sample], order: dict[str, Any]) -> Parity:
    """Write the file and compare."""
    shape = shaped(model, ExportOrder(checkpoint="model", **order))

    def described(outputs: tuple[str, ...]) -> Spec:
        return spec_of(model, shape, outputs, recipe=recipe.yaml(), info=info)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write(model, path, "onnx", shape, described)
        return compare(model, open_written(path, "onnx", described(())), batches_of(model, samples, shape.batch))


def images(folder: Path) -> list[Sample]:
    """Return some real images."""
    files = sorted(folder.rglob("*.jpg"))[:COUNT]
    return [Sample(decode(path), {}, path.name) for path in files]


def crops(samples: list[Sample]) -> list[Sample]:
    """Return parts of real images in the shapes of words."""
    return [Sample(tv_tensors.Image(s.image[:, :40, : 40 * k]), {}, s.id) for k, s in enumerate(samples, 2)]


def row(name: str, folder: Path) -> bool:
    """Print what came of one family."""
    family, start = FAMILIES[name], time.perf_counter()
    samples = crops(images(folder)) if family.words else images(folder)
    try:
        model, recipe, info = built(family)
        if getattr(model, "not_exported", ""):
            print(f"| {name} | refused: {model.not_exported} | | |", flush=True)
            return True
        settle(model, samples)
        if recipe.recipe.task in ("det", "ocr"):
            spread(model, samples)
        parity = exported(model, recipe, info, samples, family.order)
    except VFError as error:
        print(f"| {name} | FAILED: {error} | | |", flush=True)
        return False
    same = ", ".join(f"{parity.same[key]} of {count} {key}" for key, count in parity.total.items())
    seconds = time.perf_counter() - start
    print(
        f"| {name} | {parity.worst:.1e} | {same} | {seconds:.0f} |{'' if parity.good else ' NOT THE SAME'}", flush=True
    )
    return parity.good


def published(onnx: Path, folder: Path) -> bool:
    """Print how the authors' file and our export of its weights differ on the same pixels."""
    model: Any = nano()
    model.load_state_dict(carry(onnx))
    recipe = resolve("det/yolox_nano_coco", overrides=("model.fused=true",))
    info = DatasetInfo(classes=tuple(f"class {k}" for k in range(80)), task="det", num_samples={}, fingerprint="none")
    shape = shaped(model, ExportOrder(checkpoint="model"))
    theirs = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    rules: Letterbox = model.preprocess
    worst: dict[str, float] = {"boxes, px": 0.0, "probabilities": 0.0}
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "model.onnx"
        write(
            model, path, "onnx", shape, lambda outputs: spec_of(model, shape, outputs, recipe=recipe.yaml(), info=info)
        )
        ours = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        cells = Cells.of([(52, 52), (26, 26), (13, 13)], device=torch.device("cpu"))
        for batch in batches_of(model, images(folder), 1):
            padded = np.full((1, 3, *rules.size), rules.pad_value, np.uint8)
            height, width = batch.images.shape[-2:]
            padded[:, :, :height, :width] = batch.images.numpy()
            boxes, objects, classes = (torch.from_numpy(v) for v in ours.run(None, {"images": padded}))
            raw = torch.from_numpy(theirs.run(None, {"images": padded[:, ::-1].astype(np.float32)})[0])
            own = torch.cat((objects.sigmoid()[..., None], classes.sigmoid()), -1)
            gaps = ((boxes - decode_boxes(raw[..., :4], cells)).abs().max(), (own - raw[..., 4:]).abs().max())
            worst = {key: max(value, gap.item()) for (key, value), gap in zip(worst.items(), gaps, strict=True)}
    print(f"published YOLOX-nano and our export of its weights, {COUNT} images, every cell:", flush=True)
    for key, value in worst.items():
        print(f"  {key}: largest difference {value:.1e}", flush=True)
    return max(worst.values()) < 1e-2


def main() -> int:
    """Print the table; exit code 1 where a row fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", metavar="NAMES", help="of families; none: all")
    parser.add_argument("--onnx", type=Path, default=DATA / "weights/yolox_nano_onnx/yolox_nano.onnx")
    parser.add_argument("--images", type=Path, default=DATA / "coco_val128")
    args = parser.parse_args()
    good = published(args.onnx, args.images) if not args.names else True
    print("| family | largest difference | predictions the same | s |\n|---|---|---|---|", flush=True)
    for name in args.names or FAMILIES:
        good = row(name, args.images) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
