"""The net of CRNN (arXiv 1507.05717): convolutions fold the height away, LSTMs read the columns both ways."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

Body = Literal["vgg", "resnet"]


class CRNN(nn.Module):
    """Images [N,C,32,W] -> columns -> logits [N,T,classes], T about W / 4.

    Args:
        in_channels: of images, 1 or 3.
        classes: with the blank.
        body: the paper's, or a small residual net.
        channels: of its first layer; the others have multiples.
        hidden: of each direction of each LSTM; 0: none, one linear layer reads each column.
        layers: of LSTMs.
    """

    def __init__(
        self, *, in_channels: int, classes: int, body: Body, channels: int, hidden: int, layers: int = 2
    ) -> None:
        super().__init__()
        width = (8 if body == "vgg" else 4) * channels
        self.body = vgg(in_channels, channels) if body == "vgg" else resnet(in_channels, channels)
        outs = [*[hidden] * (layers - 1), classes] if hidden else [classes]
        ins = [width, *outs[:-1]]
        self.columns = nn.Sequential(
            *(BiLSTM(i, hidden, o) if hidden else nn.Linear(i, o) for i, o in zip(ins, outs, strict=True))
        )

        self.width = width

    def features(self, images: Tensor) -> Tensor:
        """Return what the convolutions see in each column, [N,T,width]."""
        columns: Tensor = self.body(images)[:, :, 0].transpose(1, 2)
        return columns

    def logits(self, features: Tensor) -> Tensor:
        """Return logits [N,T,classes] of columns [N,T,width]."""
        logits: Tensor = self.columns(features)
        return logits


class BiLSTM(nn.Module):
    """[N,T,in] -> [N,T,out]: an LSTM in both directions, then a linear layer."""

    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(in_channels, hidden, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(2 * hidden, out_channels)

    def forward(self, columns: Tensor) -> Tensor:
        """Read the columns from both ends."""
        out: Tensor = self.linear(self.rnn(columns)[0])
        return out


def vgg(in_channels: int, channels: int) -> nn.Sequential:
    """The paper's table 1: seven convolutions, four poolings, of which the last two keep the width."""
    widths = [channels * k for k in (1, 2, 4, 4, 8, 8, 8)]
    normed, pooled = {2, 4, 6}, {0: (2, 2), 1: (2, 2), 3: (2, 1), 5: (2, 1)}
    layers = nn.Sequential()
    for place, (before, after) in enumerate(zip([in_channels, *widths], widths, strict=False)):
        kernel, padding = (2, 0) if place == 6 else (3, 1)
        layers.add_module(f"conv{place}", nn.Conv2d(before, after, kernel, padding=padding))
        if place in normed:
            layers.add_module(f"norm{place}", nn.BatchNorm2d(after))
        layers.add_module(f"relu{place}", nn.ReLU(inplace=True))
        if place in pooled:
            step = pooled[place]
            pool = nn.MaxPool2d(2, step, padding=(0, 1) if step == (2, 1) else 0)
            layers.add_module(f"pool{place}", pool)
    return layers


def resnet(in_channels: int, channels: int) -> nn.Sequential:
    """A small one: the height falls from 32 to 1, the width to a quarter."""
    steps = ((2, 2), (2, 1), (2, 1))
    widths = [channels, 2 * channels, 4 * channels, 4 * channels]
    stem = nn.Conv2d(in_channels, channels, 3, 2, 1, bias=False)
    blocks = [Block(widths[k], widths[k + 1], step) for k, step in enumerate(steps)]
    fold = nn.Conv2d(widths[-1], widths[-1], (2, 1), bias=False)
    return nn.Sequential(*_normed(stem), *blocks, *_normed(fold))


class Block(nn.Module):
    """Two 3×3 convolutions beside a 1×1 one."""

    def __init__(self, before: int, after: int, step: tuple[int, int]) -> None:
        super().__init__()
        self.main = nn.Sequential(
            *_normed(nn.Conv2d(before, after, 3, step, 1, bias=False)),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.beside = nn.Sequential(nn.Conv2d(before, after, 1, step, bias=False), nn.BatchNorm2d(after))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Add what both say."""
        out: Tensor = self.relu(self.main(x) + self.beside(x))
        return out


def _normed(conv: nn.Conv2d) -> tuple[nn.Module, ...]:
    return conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU(inplace=True)
