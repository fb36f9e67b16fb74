"""The keys under ``train:`` that only make sense together."""

from __future__ import annotations

import pytest

from vf.plugins import plugins
from vf.structuring import Structurer
from vf.training import Train
from vf.yaml12 import parse


def problems(text: str) -> list[str]:
    structurer = Structurer(plugins())
    structurer.build(parse(f"length: 10 steps\nbatch_size: 4\n{text}", "f"), Train, "train")
    return structurer.problems


@pytest.mark.parametrize(
    "text",
    [
        "optimizer: {name: adam, lr: 1}\nmomentum_schedule: {name: linear}",
        "optimizer: {name: rmsprop, lr: 1}\nschedule: {name: onecycle, momentum: [0.95, 0.85]}",
        "optimizer: {name: rmsprop, lr: 1, momentum: 0.5}\nmomentum_schedule: {name: step, every: 2 epochs}",
        "optimizer: {name: adagrad, lr: 1}\nschedule: {name: onecycle}\nauto_scale_lr: 64",
    ],
)
def test_these_go_together(text: str) -> None:
    assert problems(text) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "optimizer: {name: sgd, lr: 1}\nmomentum_schedule: {name: constant}\n"
            "schedule: {name: onecycle, momentum: [0.95, 0.85]}",
            "f:1: train: schedule.momentum and momentum_schedule both set the momentum; leave one of them out",
        ),
        (
            "optimizer: {name: sgd, lr: 1}\nmomentum_schedule: {name: onecycle, momentum: [0.95, 0.85]}",
            "f:1: train: momentum_schedule.momentum: a momentum_schedule is a factor; set schedule.momentum instead",
        ),
        (
            "optimizer: {name: adagrad, lr: 1}\nschedule: {name: onecycle, momentum: [0.95, 0.85]}",
            "f:1: train: schedule.momentum: adagrad has no momentum; leave it out or take another optimizer",
        ),
        (
            "optimizer: {name: sgd, lr: 1, momentum: 0}\nmomentum_schedule: {name: constant}",
            "f:1: train: momentum_schedule: sgd has no momentum here; set one or leave the schedule out",
        ),
        (
            "optimizer: {name: adafactor, lr: 1}\nmomentum_schedule: {name: constant}",
            "f:1: train: momentum_schedule: adafactor has no momentum here; set one or leave the schedule out",
        ),
        (
            "optimizer: {name: rprop, lr: 1}\nstrategy: fsdp",
            "f:1: train: strategy: rprop cannot step sharded weights; take ddp or another optimizer",
        ),
        (
            "optimizer: {name: adafactor, lr: 1}\nstrategy: fsdp",
            "f:1: train: strategy: adafactor cannot step sharded weights; take ddp or another optimizer",
        ),
        ("optimizer: {name: sgd, lr: 1}\nauto_scale_lr: 0", "f:4: train.auto_scale_lr: must be > 0, got 0"),
        (
            "optimizer: {name: sgd, lr: 1}\nschedule: {name: step, every: 0 steps}",
            "f:4: train.schedule.every: must be longer than nothing, got 0 steps",
        ),
        (
            "optimizer: {name: sgd, lr: 1}\nschedule: {name: onecycle, momentum: [1, 0.85]}",
            "f:4: train.schedule.momentum: must be from 0.001 to 0.999, got 1.0",
        ),
        (
            "optimizer: {name: sgd, lr: 1}\nschedule: {name: onecycle, warmup: 3 epochs}",
            "f:4: train.schedule.warmup: unknown key; known: peak_at, start_div, end_div, anneal, momentum",
        ),
    ],
)
def test_these_do_not(text: str, sentence: str) -> None:
    assert problems(text) == [sentence]
