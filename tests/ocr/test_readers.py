"""Models that read words: losses, gradients, texts; decoders against the nets that they decode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from torchvision import tv_tensors

import vf
from vf.data.collate import Collate
from vf.data.pipeline import Fitted
from vf.data.sample import Batch, Sample
from vf.errors import ConfigError, DataError
from vf.testing import check_config, check_exported
from vf_ocr.recognition.codec import Codec
from vf_ocr.recognition.parseq import drawn_orders, visible
from vf_ocr.recognition.preprocess import WordResize
from vf_ocr.recognition.svtr import neighbours
from vf_ocr.recognition_configs import CRNN, NRTR, PARSeq, SVTRTiny

CHARACTERS = tuple("0123456789abc")
INFO = vf.DatasetInfo(classes=CHARACTERS, task="ocr", num_samples={"train": 4}, fingerprint="0")
SMALL: dict[str, Any] = {
    "crnn": CRNN(channels=8, hidden=8),
    "crnn_resnet": CRNN(body="resnet", channels=8, hidden=0, ratio="stretch", size=(32, 96), grey=True),
    "crnn_guided": CRNN(channels=8, hidden=8, guide=0.5),
    "svtr": SVTRTiny(channels=(16, 16, 32), depths=(1, 1, 1), heads=(2, 2, 2), local=2, out_channels=16),
    "nrtr": NRTR(channels=32, heads=2, hidden=32, encoder=1, decoder=2, max_length=8),
    "parseq": PARSeq(channels=32, heads=2, decoder_heads=4, depth=1, max_length=8),
}
WORDS = ("12", "a3b", "", "0000", "Cab!", "123456789abc")
"""The last is too long for those that stop at eight."""


def model_of(name: str) -> Any:
    torch.manual_seed(0)
    return SMALL[name].build(INFO)


def batch_of(model: Any, texts: Sequence[str] = WORDS, *, target: bool = True) -> Batch:
    generator = torch.Generator().manual_seed(3)
    fitted = []
    for place, text in enumerate(texts):
        pixels = torch.randint(0, 256, (3, 20 + 4 * place, 30 + 25 * place), dtype=torch.uint8, generator=generator)
        sample = Sample(tv_tensors.Image(pixels), {"text": text}, str(place))
        fitted.append(Fitted(model.preprocess.fit(sample, with_target=target), sample.size))
    batch = Collate(fill=model.preprocess.pad_value)(fitted)
    assert isinstance(batch, Batch)
    return batch


@pytest.mark.parametrize("cls", [CRNN, NRTR, PARSeq, SVTRTiny])
def test_configs_explain_themselves(cls: type[Any]) -> None:
    check_config(cls, cls.__name__)


@pytest.mark.parametrize("name", SMALL)
def test_trains_with_every_parameter(name: str) -> None:
    model = model_of(name).train()
    losses = model(batch_of(model))
    assert all(math.isfinite(loss.item()) and loss.ndim == 0 for loss in losses.values())
    sum(losses.values()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@pytest.mark.parametrize("name", SMALL)
def test_a_word_is_read_alike_alone_and_beside_others(name: str) -> None:
    model = model_of(name).eval()
    batch = batch_of(model, target=False)
    together = model(batch)
    assert len(together) == len(WORDS)
    for place, said in enumerate(together):
        one = attrs.evolve(
            batch, images=batch.images[place : place + 1], sizes=batch.sizes[place : place + 1], ids=("0",), targets={}
        )
        [alone] = model(one)
        assert alone["text"] == said["text"]
        assert set(said["text"]) <= set(CHARACTERS)
        torch.testing.assert_close(alone["score"], said["score"], rtol=1e-3, atol=1e-6)
        assert 0 <= float(said["score"]) <= 1


@pytest.mark.parametrize("name", ["crnn_resnet", "nrtr", "parseq"])
def test_learns_four_words_by_heart(name: str) -> None:
    texts = ("12", "a3b", "0", "7cc")
    model = model_of(name).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    batch = batch_of(model, texts)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = sum(model(batch).values())
        loss.backward()
        optimizer.step()
        if loss.item() < 0.02:
            break
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # statistics of what is there now
            module.reset_running_stats()
    with torch.no_grad():
        model(batch)
    read = model.eval()(batch_of(model, texts, target=False))
    assert [prediction["text"] for prediction in read] == list(texts)


def test_beam_search_reads_what_the_best_path_reads_where_columns_are_sure() -> None:
    model = model_of("crnn").eval()
    log_probs = torch.full((2, 6, 14), -20.0)
    for image, path in enumerate(([1, 13, 1, 13, 2, 2], [13, 13, 5, 13, 13, 13])):
        log_probs[image, torch.arange(6), path] = 0.0
    greedy = [model.codec.decode(indices) for indices, _ in model.found({"log_probs": log_probs})]
    model.beam = 5
    assert [model.codec.decode(i) for i, _ in model.found({"log_probs": log_probs})] == greedy == ["112", "5"]


@pytest.mark.parametrize("name", ["nrtr", "parseq"])
def test_step_by_step_says_what_the_whole_says_at_once(name: str) -> None:
    """What is kept from step to step gives the same as all steps in one, as in training."""
    model = model_of(name).eval()
    torch.nn.init.normal_(model.head[1].weight, std=1.0)  # or it would say one thing all the time
    images = torch.randn(3, 3, *model.preprocess.size)
    if name == "parseq":
        model.refinements = 0
    kept: list[torch.Tensor] = []
    say = model.say

    def listening(*args: Any) -> Any:
        kept.extend(said := say(*args))
        return said

    model.say = listening
    with torch.no_grad():
        model.read_out(images)
        said, scores = kept
        given = model.given(said)
        if name == "nrtr":
            x, seen = model._embedded(given, 0), model.encode(images)
            mask = torch.ones(given.shape[1], given.shape[1], dtype=torch.bool).tril()
            for block in model.decoder:
                x = block(x, block.pairs_said(x), seen, mask)
        else:
            pairs = model.said.pairs(model._content(given, 0)), model.seen.pairs(model.encode(images))
            x = model._asked(given.shape[1], *pairs, visible(torch.arange(given.shape[1] - 1)))
        best, whole = model.head(x).log_softmax(-1).max(-1)
    assert torch.equal(whole, said)
    torch.testing.assert_close(best, scores, rtol=1e-4, atol=1e-4)


def test_saying_ends_early_and_is_cut_at_the_first_end() -> None:
    model = model_of("nrtr")
    end = model.end
    script = iter([[1, 2], [3, end], [end, 4], [5, 5]])

    def step(last: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.tensor(next(script)), end + 1) * 10.0

    tokens, scores = model.say(2, torch.device("cpu"), step)
    assert tokens.tolist() == [[1, 3, end], [2, end, 4]]
    sure = torch.tensor([10.0] + [0.0] * end).log_softmax(0)[0].item()
    assert model.cut(tokens, scores) == [
        ([1, 3], pytest.approx(3 * sure, rel=1e-3)),
        ([2], pytest.approx(2 * sure, rel=1e-3)),
    ]
    assert next(script) == [5, 5]


def test_what_an_order_shows() -> None:
    # Columns: begin, 1st, 2nd, 3rd character; rows: 1st, 2nd, 3rd character, end.
    assert visible(torch.tensor([0, 1, 2])).int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert visible(torch.tensor([2, 0, 1])).int().tolist() == [[1, 0, 0, 1], [1, 1, 0, 1], [1, 0, 0, 0], [1, 1, 1, 1]]
    assert visible(torch.tensor([], dtype=torch.long)).int().tolist() == [[1]]


@pytest.mark.parametrize(
    ("length", "count", "found"), [(5, 6, 6), (3, 6, 6), (2, 6, 2), (1, 6, 1), (0, 6, 1), (5, 1, 1)]
)
def test_orders_are_drawn_once_and_with_their_reverse(length: int, count: int, found: int) -> None:
    torch.manual_seed(0)
    orders = [order.tolist() for order in drawn_orders(length, count)]
    assert len(orders) == found
    assert len({tuple(order) for order in orders}) == found
    assert orders[0] == list(range(length))
    assert all(second == first[::-1] for first, second in zip(orders[::2], orders[1::2], strict=False))


def test_local_mixing_sees_its_window() -> None:
    near = neighbours((8, 25))
    middle = near[4 * 25 + 12].view(8, 25)
    assert middle.sum() == 7 * 11
    assert middle[1:8, 7:18].all()
    assert near[0].sum() == 4 * 6


@pytest.mark.parametrize(
    ("mode", "size", "goal", "read_at"),
    [
        ("stretch", (20, 200), (32, 128), 128),
        ("keep", (64, 100), (32, 50), 64),
        ("keep", (10, 400), (32, 128), 128),
        ("keep", (320, 2), (32, 1), 32),
        ("pad", (64, 100), (32, 50), 128),
    ],
)
def test_sizes_of_words(mode: Any, size: tuple[int, int], goal: tuple[int, int], read_at: int) -> None:
    rules = WordResize(size=(32, 128), mode=mode)
    sample = Sample(tv_tensors.Image(torch.full((3, *size), 200, dtype=torch.uint8)), {"text": "a"}, "0")
    fitted = rules.fit(sample, with_target=False)
    assert fitted.size == goal
    assert (fitted.image == 200).all()
    out = rules(fitted.image[None], torch.tensor([goal]))
    assert out.shape == (1, 3, 32, read_at)
    assert out[0, 0, 0, 0].item() == pytest.approx((200 - 127.5) / 127.5)
    if read_at > goal[1]:
        assert out[0, 0, 0, -1].item() == pytest.approx(0.5 / 127.5)


def test_grey_is_brightness() -> None:
    rules = WordResize(size=(32, 32), mode="stretch", grey=True, mean=(0.0,), std=(1.0,))
    pixels = torch.tensor([10.0, 100.0, 200.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    out = rules(pixels, torch.tensor([[32, 32]]))
    assert out.shape == (1, 1, 32, 32)
    assert out[0, 0, 0, 0].item() == pytest.approx(0.299 * 10 + 0.587 * 100 + 0.114 * 200)


def test_texts_become_indices_and_come_back() -> None:
    codec = Codec("abé")
    assert codec.encode("aBe\N{COMBINING ACUTE ACCENT}?") == [0, 1, 2]  # folded, NFC, without what is not known
    assert codec.decode([2, 0]) == "éa"
    labels, lengths = codec.joined(["ab", "", "b"])
    assert (labels.tolist(), lengths.tolist()) == ([0, 1, 1], [2, 0, 1])
    rows, fits = codec.padded(["ab", "", "babb"], length=3, end=3, pad=5)
    assert rows.tolist() == [[0, 1, 3, 5], [3, 5, 5, 5], [1, 0, 1, 3]]
    assert fits.tolist() == [True, True, False]


def test_text_that_is_only_to_be_found_cannot_be_read() -> None:
    with pytest.raises(DataError) as error:
        CRNN().build(attrs.evolve(INFO, classes=("text",)))
    assert str(error.value) == (
        "model crnn: reads characters, and the data have the class 'text' alone: to be found, not read; "
        "set data.charset, or choose data of words"
    )


@pytest.mark.parametrize(
    ("cls", "keys", "said"),
    [
        (CRNN, {"size": (48, 160)}, "size: its convolutions fold a height of 32 px away, got 48"),
        (SVTRTiny, {"size": (30, 128)}, "size must be multiples of 16 and 4, got [30, 128]"),
        (NRTR, {"channels": 30, "heads": 4}, "channels 30 is no multiple of heads 4"),
        (NRTR, {"size": (30, 128)}, "size: the height must be a multiple of 4, got 30"),
        (PARSeq, {"patch": (5, 8)}, "size [32, 128] is no multiple of patch [5, 8]"),
        (PARSeq, {"permutations": 3}, "permutations must be 1 or even, each with its reverse; got 3"),
    ],
)
def test_keys_that_do_not_go_together(cls: type[Any], keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="^" + said.replace("[", r"\[").replace("]", r"\]") + "$"):
        cls(**keys)


@pytest.mark.parametrize("name", ["crnn", "svtr", "parseq"])
def test_graphs_read_what_models_read(name: str, tmp_path: Path) -> None:
    model = model_of(name).eval()
    order = {"size": (32, 160), "dynamic": ("batch",)} if name == "crnn" else {}
    parity = check_exported(model, lambda rules: [batch_of(model, target=False)], tmp_path, **order)
    assert parity.total == {"texts": len(WORDS)}


def test_an_lstm_reads_as_many_columns_as_it_was_exported_with(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^CTCReader: torch cannot make a graph of it: .*; try --size H W"):
        check_exported(model_of("crnn"), lambda rules: [], tmp_path)
