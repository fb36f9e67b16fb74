"""The same numbers as MMOCR: its text detectors with random weights, carried over by ``vf convert``.

    python benchmarks/parity_mmocr.py PEERS DATA [--models dbnet,dbnetpp,psenet,panet]

PEERS is a folder with mmocr installed for the CPU (``venv/bin/python``), DATA one with photographs. There each network
is made, its weights are drawn, and its logits of two photographs are written down; here the checkpoint is converted,
loaded and asked the same. Outlines are read by both sides from maps of 60 words that are drawn for it, because maps of
random weights are noise.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

CONFIGS = {
    "dbnet": "dbnet/dbnet_resnet18_fpnc_1200e_icdar2015.py",
    "dbnet_dcn": "dbnet/dbnet_resnet50-dcnv2_fpnc_1200e_icdar2015.py",
    "dbnetpp": "dbnetpp/dbnetpp_resnet50_fpnc_1200e_icdar2015.py",
    "psenet": "psenet/psenet_resnet50_fpnf_600e_icdar2015.py",
    "panet": "panet/panet_resnet18_fpem-ffm_600e_icdar2015.py",
}
RECIPES = {
    "dbnet": "ocr/dbnet_r18_fpnc_1200e_icdar2015",
    "dbnet_dcn": "ocr/dbnet_r50dcnv2_fpnc_1200e_icdar2015",
    "dbnetpp": "ocr/dbnetpp_r50_fpnc_1200e_icdar2015",
    "psenet": "ocr/psenet_r50_fpnf_sbn_1x_icdar2015",
    "panet": "ocr/panet_r18_fpem_ffm_600e_icdar2015",
}
SIZE = (384, 512)


def photographs(data: Path) -> torch.Tensor:
    """Read two photographs, uint8 RGB [2,3,H,W]."""
    from torchvision.io import read_image

    files = sorted(f for f in data.rglob("*") if f.suffix.lower() in (".jpg", ".jpeg", ".png"))[:2]
    return torch.stack([read_image(str(f))[:3, : SIZE[0], : SIZE[1]] for f in files])


def lively(model: Any) -> None:
    """Draw statistics and biases, so that every tensor counts."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        elif name.endswith("running_mean"):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
        elif name.endswith("bias"):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.02)
        elif "conv_offset" in name:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.01)


def drawn(name: str) -> np.ndarray:
    """Return maps of 60 words as a network that has learnt might say: shares of kernels, levels, embeddings."""
    import cv2

    rng = np.random.default_rng(0)
    step = 1 if name.startswith("dbnet") else 4
    height, width = SIZE[0] // step, SIZE[1] // step
    number = np.zeros((height, width), np.float32)
    whole = []
    for row in range(10):
        for column in range(6):
            middle = np.array([(column + 0.5) * width / 6, (row + 0.5) * height / 10])
            size = (width / 6 * rng.uniform(0.5, 0.8), height / 10 * rng.uniform(0.5, 0.7))
            corners = cv2.boxPoints(((middle[0], middle[1]), size, rng.uniform(-6, 6)))
            whole.append(corners)
            cv2.fillPoly(number, [np.rint(corners).astype(np.int32)], float(len(whole)))
    text = (number > 0).astype(np.uint8)
    near = cv2.distanceTransform(np.pad(text, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    if name.startswith("dbnet"):
        return (near > 3).astype(np.float32)[None] * rng.uniform(0.6, 0.99, (1, height, width)).astype(np.float32)
    if name == "psenet":
        return np.stack([np.where(near > 0.3 * k, 3.0, -3.0) for k in range(7)]).astype(np.float32)
    means = rng.normal(0, 6, (61, 4))[number.astype(int)].transpose(2, 0, 1)
    shares = [np.where(text > 0, 3.0, -3.0), np.where(near > 2, 3.0, -3.0)]
    return np.concatenate([np.stack(shares), means]).astype(np.float32)


def peer_side(name: str, folder: Path) -> None:
    """Run inside of mmocr's environment."""
    import mmdet

    mmdet.__version__ = "3.1.0"  # mmocr 1.0.1 refuses newer ones, which do the same here
    import mmocr
    from mmengine.config import Config
    from mmocr.registry import MODELS
    from mmocr.structures import TextDetDataSample
    from mmocr.utils import register_all_modules

    register_all_modules()
    root = Path(mmocr.__file__).parent / ".mim/configs/textdet"
    cfg = Config.fromfile(str(root / CONFIGS[name])).model
    cfg.backbone.init_cfg = None
    if name == "panet":
        cfg.backbone.update(deep_stem=False, stem_channels=None)  # ours has torchvision's stem
    if name == "psenet":
        cfg.backbone.norm_cfg = {"type": "BN", "requires_grad": True}  # a CPU has no other
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    lively(model)
    model.eval()
    torch.save({"meta": {"mmocr_version": mmocr.__version__}, "state_dict": model.state_dict()}, folder / "theirs.pth")
    images = torch.load(folder / "images.pt")
    sample = TextDetDataSample()
    sample.set_metainfo({"img_shape": SIZE, "ori_shape": SIZE, "scale_factor": (1.0, 1.0)})
    with torch.no_grad():
        given = model.data_preprocessor({"inputs": [i.flip(0) for i in images], "data_samples": [sample, sample]})
        features = model.extract_feat(given["inputs"])
        head = model.det_head
        maps = head.binarize(features) if name.startswith("dbnet") else head(features)
    made = torch.from_numpy(drawn(name))
    read = head.postprocessor.get_text_instances(made[0] if name.startswith("dbnet") else made, sample)
    quads = np.array(read.pred_instances.polygons, np.float32).reshape(-1, 4, 2)
    if not name.startswith("dbnet"):
        quads = quads * 4  # mmocr divides by a scale factor that it has multiplied by 1/4
    scores = torch.as_tensor(read.pred_instances.scores)
    torch.save({"maps": maps, "quads": torch.from_numpy(quads), "scores": scores}, folder / "theirs.pt")


def own_side(name: str, folder: Path) -> tuple[torch.Tensor, Any]:
    """Convert, load and ask."""
    from vf.conversion import Order, convert
    from vf.foreign import read_foreign
    from vf.predict import Predictor

    out = folder / "ours.safetensors"
    order = Order(source="mmocr", to=RECIPES[name], classes=("text",))
    done = convert(read_foreign(folder / "theirs.pth"), out, order)
    assert done.whole, done.lines
    model: Any = Predictor.load(out).model
    images = torch.load(folder / "images.pt", weights_only=True)
    sizes = torch.tensor([SIZE] * len(images))
    with torch.no_grad():
        output = model.output(model.preprocess(images, sizes))
    maps = drawn(name)
    if not name.startswith("dbnet"):
        maps = torch.from_numpy(maps)[None]
        maps = model.readable(maps)[0].numpy()
    return output[0] if isinstance(output, tuple) else output, model.reader(maps)


def compare(found: Any, quads: np.ndarray, scores: torch.Tensor) -> tuple[int, float, float]:
    """Return how many of their outlines were found, and the largest distance of a corner and of a score."""
    from vf_ocr.geometry import in_order

    theirs = in_order(quads)
    away = np.abs(found.polygons[:, None] - theirs[None]).max((2, 3))
    nearest = away.argmin(0)
    worst = away[nearest, np.arange(len(theirs))]
    score = np.abs(found.scores[nearest] - scores.numpy())
    return int((worst < 1).sum()), float(worst.max()), float(score.max())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("peers", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", default=",".join(CONFIGS))
    parser.add_argument("--peer-side", nargs=2, default=(), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer_side:
        peer_side(options.peer_side[0], Path(options.peer_side[1]))
        return
    rows = []
    for name in options.models.split(","):
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            torch.save(photographs(options.data), folder / "images.pt")
            command = [str(options.peers / "venv/bin/python"), __file__, str(options.peers), str(options.data)]
            subprocess.run(
                [*command, "--peer-side", name, made],
                check=True,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONWARNINGS": "ignore"},
            )
            theirs = torch.load(folder / "theirs.pt", weights_only=True)
            maps, found = own_side(name, folder)
        away = (maps - theirs["maps"]).abs().max().item()
        same, px, score = compare(found, theirs["quads"].numpy(), theirs["scores"])
        count = len(theirs["scores"])
        logits = f"{away:.1e} (spread {theirs['maps'].std().item():.2g})"
        rows.append(f"| {name} | {logits} | {same} of {count}, ours {len(found.scores)} | {px:.2g} | {score:.1e} |")
        print(rows[-1], flush=True)
    print("| model | logits | outlines found again | corners, px | scores |")
    print("|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    sys.exit(main())
