"""The same numbers as MMSegmentation: its networks with random weights, carried over by ``vf convert``.

    python benchmarks/parity_mmseg.py PEERS [--models pspnet,deeplabv3,…]

PEERS is a folder with mmseg installed for the CPU (``venv/bin/python``). There each network is made, its weights are
drawn, and its logits, its class map and its losses on two photographs are written down; here the checkpoint is
converted, loaded and asked the same. Losses are taken in evaluation mode, so that nothing random is left, and over all
pixels, as mmseg averages them.
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
    "fcn": "fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py",
    "pspnet": "pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py",
    "deeplabv3": "deeplabv3/deeplabv3_r50-d8_4xb2-40k_cityscapes-512x1024.py",
    "deeplabv3plus": "deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024.py",
    "upernet": "upernet/upernet_r50_4xb2-40k_cityscapes-512x1024.py",
    "fcn_hr18": "hrnet/fcn_hr18_4xb2-40k_cityscapes-512x1024.py",
    "ocrnet_hr18": "ocrnet/ocrnet_hr18_4xb2-40k_cityscapes-512x1024.py",
    "segformer_b0": "segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py",
    "unet": "unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024.py",
    "fast_scnn": "fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py",
}
RECIPES = {
    "fcn": "seg/fcn_r50-d8_512x1024_40k_cityscapes",
    "pspnet": "seg/pspnet_r50-d8_512x1024_40k_cityscapes",
    "deeplabv3": "seg/deeplabv3_r50-d8_512x1024_40k_cityscapes",
    "deeplabv3plus": "seg/deeplabv3plus_r50-d8_512x1024_40k_cityscapes",
    "upernet": "seg/upernet_r50_512x1024_40k_cityscapes",
    "fcn_hr18": "seg/fcn_hr18_512x1024_40k_cityscapes",
    "ocrnet_hr18": "seg/ocrnet_hr18_512x1024_40k_cityscapes",
    "segformer_b0": "seg/segformer_mit-b0_1024x1024_160k_cityscapes",
    "unet": "seg/unet_s5-d16_512x1024_160k_cityscapes",
    "fast_scnn": "seg/fast_scnn_512x1024_160k_cityscapes",
}
SIZE = (192, 256)
SLIDE = {"crop": (128, 160), "stride": (96, 128)}
CLASSES = 19


def photographs(data: Path) -> torch.Tensor:
    """Read two photographs, uint8 RGB [2,3,192,256]."""
    from torchvision.io import read_image

    files = sorted((data / "JPEGImages").glob("*.jpg"))[:2]
    return torch.stack([read_image(str(f))[:, : SIZE[0], : SIZE[1]] for f in files])


def drawn_map() -> torch.Tensor:
    """Draw blocks of classes, a fifth of them ignored: uint8 [2,192,256]."""
    generator = torch.Generator().manual_seed(3)
    blocks = torch.randint(0, CLASSES, (2, SIZE[0] // 16, SIZE[1] // 16), generator=generator)
    blocks[torch.rand(blocks.shape, generator=generator) < 0.2] = 255
    return blocks.repeat_interleave(16, 1).repeat_interleave(16, 2).to(torch.uint8)


def lively(model: Any) -> None:
    """Draw what tells classes apart: as it begins, every class is alike."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if name.endswith("conv_seg.weight"):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
        elif name.endswith("bias"):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.05)


def calibrate(model: Any, inputs: torch.Tensor) -> None:
    """Give batch norms the statistics of the photographs; drawn ones would let 100 layers overflow."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    model.train()
    with torch.no_grad():
        levels = model.extract_feat(inputs)
        heads = model.decode_head if isinstance(model.decode_head, torch.nn.ModuleList) else [model.decode_head]
        out = heads[0](levels)
        for head in heads[1:]:
            out = head(levels, out)
        aux = getattr(model, "auxiliary_head", None) or []
        for head in aux if isinstance(aux, torch.nn.ModuleList) else [aux] if aux else []:
            head(levels)


def peer_side(name: str, folder: Path) -> None:
    """Run inside of mmseg's environment."""
    import mmseg
    from mmengine.config import Config
    from mmengine.model.utils import revert_sync_batchnorm
    from mmengine.structures import PixelData
    from mmseg.registry import MODELS
    from mmseg.structures import SegDataSample
    from mmseg.utils import register_all_modules

    register_all_modules()
    root = Path(mmseg.__file__).parent / ".mim/configs"
    cfg = Config.fromfile(str(root / CONFIGS[name])).model
    cfg.backbone.init_cfg = None
    cfg.pretrained = None
    cfg.data_preprocessor.size = SIZE
    cfg.test_cfg = {"mode": "whole"}
    heads = [cfg.decode_head, cfg.get("auxiliary_head", [])]
    for head in [h for one in heads for h in (one if isinstance(one, list) else [one])]:
        head.loss_decode.use_sigmoid = False  # Fast-SCNN's own has one for each class; ours is a softmax
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(cfg))
    model.init_weights()
    lively(model)
    images, maps = torch.load(folder / "images.pt"), drawn_map()

    def samples() -> list[Any]:
        out = []
        for own in maps:
            meta = {
                "img_shape": SIZE,
                "ori_shape": SIZE,
                "pad_shape": SIZE,
                "padding_size": [0, 0, 0, 0],
                "flip": False,
            }
            sample = SegDataSample(metainfo=meta)
            sample.gt_sem_seg = PixelData(data=own[None].long())
            out.append(sample)
        return out

    def prepared(training: bool) -> Any:
        given = {"inputs": [image.flip(0) for image in images], "data_samples": samples()}
        return model.data_preprocessor(given, training)

    calibrate(model, prepared(True)["inputs"])
    meta = {"mmseg_version": mmseg.__version__, "dataset_meta": {"classes": [f"class {i}" for i in range(CLASSES)]}}
    torch.save({"meta": meta, "state_dict": model.state_dict()}, folder / "theirs.pth")
    model.eval()
    with torch.no_grad():
        whole = torch.stack([s.seg_logits.data for s in model(**prepared(False), mode="predict")])
        model.test_cfg = Config({"mode": "slide", "crop_size": SLIDE["crop"], "stride": SLIDE["stride"]})
        slid = torch.stack([s.seg_logits.data for s in model(**prepared(False), mode="predict")])
        losses = model(**prepared(True), mode="loss")
    flat = {k: float(v) for k, v in losses.items() if "loss" in k}
    torch.save({"whole": whole, "slid": slid, "losses": flat}, folder / "theirs.pt")


def own_side(name: str, folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Convert the checkpoint, and take logits and losses with it."""
    from vf.conversion import Order, convert
    from vf.data.sample import Batch
    from vf.engine.checkpoint import load_into, read_weights
    from vf.foreign import read_foreign
    from vf.recipes import from_text
    from vf_seg.inference.views import View

    changes = ["model.loss=[{name: cross_entropy, average: all}]"]
    if name not in ("unet", "fast_scnn"):
        changes.append("model.backbone.pretrained=''")
    out = folder / "ours.safetensors"
    order = Order(source="mmseg", to=RECIPES[name], overrides=tuple(changes))
    for line in convert(read_foreign(folder / "theirs.pth"), out, order).lines:
        print("   ", line[:150])
    weights = read_weights(out)
    model: Any = from_text(weights.recipe, "recipe").recipe.model.build(weights.info)
    load_into(model, weights.tensors, out)
    images = torch.load(folder / "images.pt", weights_only=True)
    model.eval()
    with torch.no_grad():
        whole = View(model._logits_of_part, images).rows(0, SIZE[0], SIZE)
        slid = View(model._logits_of_part, images, **SLIDE).rows(0, SIZE[0], SIZE)
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm | torch.nn.Dropout2d):
                module.eval()
            if type(module).__name__ == "StochasticDepth":
                module.eval()
        maps = drawn_map()
        sizes = torch.tensor([SIZE, SIZE])
        batch = Batch(
            images=images,
            sizes=sizes,
            original=sizes,
            ids=("a", "b"),
            targets={"semantic": maps.flatten(0, 1)},
            counts={"semantic": (SIZE[0], SIZE[0])},
        )
        losses = {key: float(value) for key, value in model(batch).items()}
    return {"whole": whole, "slid": slid}, losses


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
        rows.append(row(name, found, losses, theirs))
    print(
        "| model | largest logit | whole: most apart | sliding: most apart | other classes | losses of vf | of mmseg |"
    )
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))


def row(name: str, found: dict[str, torch.Tensor], losses: dict[str, float], theirs: dict[str, Any]) -> str:
    """Compare, and write a row."""
    far = {key: float((found[key] - theirs[key]).abs().max()) for key in found}
    other = int((found["whole"].argmax(1) != theirs["whole"].argmax(1)).sum())
    most = float(theirs["whole"].abs().max())
    return (
        f"| {name} | {most:.1f} | {far['whole']:.1e} | {far['slid']:.1e} | {other} of {found['whole'][:, 0].numel()} | "
        f"{shown(losses)} | {shown(theirs['losses'])} |"
    )


def shown(losses: dict[str, float]) -> str:
    """Write losses in a cell, from the small to the large."""
    return ", ".join(f"{value:.5f}" for value in sorted(losses.values()))


if __name__ == "__main__":
    sys.exit(main())
