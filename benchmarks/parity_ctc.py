"""The same readings as others: MMOCR's CRNN with random weights, its greedy decoder, and a beam search of others.

    python benchmarks/parity_ctc.py PEERS

PEERS is a folder with mmocr installed for the CPU (``venv/bin/python``) and fast-ctc-decode in ``fastctc``
(``pip install --no-deps --target PEERS/fastctc fast-ctc-decode``). There the network is made and its logits are written
down; here its checkpoint is converted and asked the same. Both decoders then read columns that are drawn: sure ones, as
a trained network says them, and unsure ones. Where two beam searches differ, torch's loss says whose text is likelier.
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
from torch import Tensor
from torch.nn import functional as F

LOWER = "0123456789abcdefghijklmnopqrstuvwxyz"
WORDS, COLUMNS = 500, 26
BEAMS = (1, 5, 20)


def drawn(spread: float) -> Tensor:
    """Return logits [WORDS,COLUMNS,37] of random words, blanks between characters, and noise of ``spread``."""
    generator = torch.Generator().manual_seed(0)
    path = torch.randint(0, 37, (WORDS, COLUMNS), generator=generator)
    path[torch.rand(WORDS, COLUMNS, generator=generator) < 0.6] = 36
    logits = F.one_hot(path, 37) * 6.0
    return logits + spread * torch.randn(logits.shape, generator=generator)


def peer_side(folder: Path) -> None:
    """Run inside of mmocr's environment."""
    import mmdet

    mmdet.__version__ = "3.1.0"  # mmocr 1.0.1 refuses newer ones, which do the same here
    import mmocr
    from mmengine.config import Config
    from mmocr.registry import MODELS
    from mmocr.structures import TextRecogDataSample
    from mmocr.utils import register_all_modules

    register_all_modules()
    config = Path(mmocr.__file__).parent / ".mim/configs/textrecog/crnn/crnn_mini-vgg_5e_mj.py"
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(str(config)).model).eval()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        elif name.endswith("running_mean"):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
    torch.save({"meta": {"mmocr_version": mmocr.__version__}, "state_dict": model.state_dict()}, folder / "theirs.pth")
    given = torch.load(folder / "given.pt")
    with torch.no_grad():
        pixels = (given["grey"] - 127) / 127
        logits = model.decoder.forward_train(model.extract_feat(pixels))
    texts = {}
    for name in ("sure", "unsure"):
        samples = [TextRecogDataSample(metainfo={"valid_ratio": 1.0}) for _ in range(WORDS)]
        read = model.decoder.postprocessor(given[name].softmax(-1), samples)
        texts[name] = [sample.pred_text.item for sample in read]
    torch.save({"logits": logits, **texts}, folder / "theirs.pt")


def network(folder: Path, grey: Tensor) -> Tensor:
    """Return our logits of grey words, with their weights."""
    from vf.conversion import Order, convert
    from vf.foreign import read_foreign
    from vf.predict import Predictor

    (folder / "classes.txt").write_text("\n".join(LOWER))
    order = Order(source="mmocr", to="ocr/crnn_mini-vgg_5e_mj", classes=tuple(LOWER))
    done = convert(read_foreign(folder / "theirs.pth"), folder / "ours.safetensors", order)
    assert done.whole, done.lines
    model: Any = Predictor.load(folder / "ours.safetensors", device="cpu").model
    pixels = grey.expand(-1, 3, -1, -1)
    with torch.no_grad():
        words = model.preprocess(pixels, torch.tensor([[32, 100]] * len(grey)))
        logits: Tensor = model.net.logits(model.net.features(words))
    return logits


def likelihood(log_probs: Tensor, text: str) -> float:
    """Return the natural logarithm of the probability of a text, by torch."""
    target = torch.tensor([[LOWER.index(character) for character in text]], dtype=torch.long)
    lengths = torch.tensor([log_probs.shape[0]]), torch.tensor([target.shape[1]])
    return -float(F.ctc_loss(log_probs[:, None].double(), target, *lengths, blank=36, reduction="sum"))


def beside_beam(log_probs: Tensor, width: int) -> tuple[int, int, int]:
    """Return how many words two beam searches read alike, and of the rest whose text is likelier: ours, theirs."""
    import fast_ctc_decode

    from vf_ocr.recognition.ctc import beam_search

    ours = ["".join(LOWER[i] for i in said) for said, _ in beam_search(log_probs, width)]
    blank_first = log_probs.exp().roll(1, -1).numpy()
    theirs = [fast_ctc_decode.beam_search(rows, " " + LOWER, width, 0.0)[0] for rows in blank_first]
    apart = [row for row in range(WORDS) if ours[row] != theirs[row]]
    better = sum(likelihood(log_probs[row], ours[row]) > likelihood(log_probs[row], theirs[row]) for row in apart)
    return WORDS - len(apart), better, len(apart) - better


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("peers", type=Path)
    parser.add_argument("--peer-side", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer_side:
        peer_side(options.peer_side)
        return
    sys.path.append(str(options.peers / "fastctc"))
    from vf_ocr.recognition.ctc import greedy

    torch.manual_seed(0)
    given = {"grey": torch.randint(0, 256, (8, 1, 32, 100)).float(), "sure": drawn(1.0), "unsure": 0.25 * drawn(4.0)}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        torch.save(given, folder / "given.pt")
        command = [str(options.peers / "venv/bin/python"), __file__, str(options.peers), "--peer-side", made]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONWARNINGS": "ignore"})
        theirs = torch.load(folder / "theirs.pt", weights_only=True)
        ours = network(folder, given["grey"])
    away = (ours - theirs["logits"]).abs().max().item()
    print(f"CRNN, logits of mmocr's network: {away:.1e} apart (spread {theirs['logits'].std().item():.2g})\n")
    print("| columns | decoder | words | read alike | else likelier: ours | theirs |")
    print("|---|---|---|---|---|---|")
    for name in ("sure", "unsure"):
        log_probs = given[name].log_softmax(-1)
        texts = ["".join(LOWER[i] for i in said) for said, _ in greedy(log_probs)]
        alike = sum(a == b for a, b in zip(texts, theirs[name], strict=True))
        print(f"| {name} | greedy, mmocr | {WORDS} | {alike} | | |")
        for width in BEAMS:
            alike, better, worse = beside_beam(log_probs, width)
            print(f"| {name} | beam {width}, fast-ctc-decode | {WORDS} | {alike} | {better} | {worse} |")


if __name__ == "__main__":
    sys.exit(main())
