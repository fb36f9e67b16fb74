"""What the config classes of all segmenters share. Free of torch until ``build()``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs

import vf
from vf.errors import ConfigError, listed
from vf.protocols import BackboneConfig, ForeignWeights
from vf_seg.image_configs import Resize
from vf_seg.inference_configs import SegInference, Whole
from vf_seg.loss_configs import CrossEntropy, SegLoss

if TYPE_CHECKING:
    from torch import nn

    from vf.nn.backbones.backbone import Backbone

__all__ = ["Aux", "Headed", "OnBackbone", "Segmenter"]

Norm = Literal["bn", "sync_bn", "gn"]


def _some(instance: Any, attribute: attrs.Attribute[Any], value: Sequence[Any]) -> None:
    if not value:
        raise ValueError("must have at least 1 item, got none")


@vf.config
class Aux:
    """A head that is there in training alone: convolutions on one level, then classes."""

    level: int = vf.field(default=3, help="of the backbone, as its key out counts them", validator=vf.positive())
    width: int = vf.field(default=256, help="channels of its convolutions", validator=vf.positive())
    convs: int = vf.field(default=1, help="3×3 convolutions", validator=vf.at_least(0))
    weight: float = vf.field(default=0.4, help="of its losses beside those of the head", validator=vf.at_least(0))


@vf.config
class Segmenter:
    """What all segmenters share: image rules, losses, inference."""

    resize: Resize = vf.field(default=Resize(), help="how images are sized, padded and normalised")
    loss: tuple[SegLoss, ...] = vf.field(
        default=(CrossEntropy(),), help="terms that are added up, each with its name and weight", validator=_some
    )
    inference: SegInference = vf.field(default=Whole(), help="whole or slide, with its options")

    def foreign_weights(self, source: str) -> ForeignWeights | None:
        """What there is to know of the weights of MMSegmentation and torchvision."""
        from vf_seg import foreign

        return foreign.weights_of(self, source)

    def assembled(
        self,
        info: vf.DatasetInfo,
        backbone: nn.Module,
        head: nn.Module,
        aux: Sequence[tuple[nn.Module, float]] = (),
        *,
        side_weight: float = 1.0,
    ) -> nn.Module:
        """Put a body and heads together with what all share."""
        from vf_seg.losses.terms import Terms
        from vf_seg.models.segmenter import Segmenter

        seen: Counter[str] = Counter()
        terms: dict[str, tuple[Any, float]] = {}
        for config in self.loss:
            name = next(n for n, cls in SegLoss.choices().items() if cls is type(config))
            seen[name] += 1
            terms[name if seen[name] == 1 else f"{name}{seen[name]}"] = (config.build(info), config.weight)
        return Segmenter(
            preprocess=self.resize.build(),
            backbone=backbone,
            head=head,
            aux=aux,
            side_weight=side_weight,
            terms=Terms(terms),
            inference=self.inference.build(),
            classes=len(info.classes),
        )


@vf.config
class Headed(Segmenter):
    """A segmenter with a head of convolutions and norms."""

    norm: Norm = vf.field(
        default="bn", help="of the head; bn, sync_bn: over all processes (as train.sync_batchnorm makes all), gn"
    )
    dropout: float = vf.field(
        default=0.1, help="chance of a channel to be left out before the classes", validator=vf.within(0, 1)
    )


@vf.config
class OnBackbone(Headed):
    """A segmenter on a backbone that is chosen by key."""

    backbone: BackboneConfig = vf.field(help="see 'vf list backbones'; dilate: 8 for the published dilated nets")
    aux: tuple[Aux, ...] = vf.field(default=(), help="heads on earlier levels, in training alone")

    def aux_heads(self, backbone: Backbone, info: vf.DatasetInfo) -> list[tuple[nn.Module, float]]:
        """Build the heads of ``aux``, each with its weight."""
        from vf_seg.heads.fcn import FCNHead

        return [
            (
                FCNHead(
                    [backbone.channels[place]],
                    [place],
                    classes=len(info.classes),
                    width=aux.width,
                    convs=aux.convs,
                    norm=self.norm,
                    dropout=self.dropout,
                ),
                aux.weight,
            )
            for aux, place in zip(self.aux, self.places([aux.level for aux in self.aux], "aux"), strict=True)
        ]

    def places(self, levels: Sequence[int], key: str) -> list[int]:
        """Return where levels lie among those that the backbone hands on.

        Raises:
            ConfigError: it does not hand one on.
        """
        out = tuple(getattr(self.backbone, "out", (1, 2, 3, 4)))
        if missing := [level for level in levels if level not in out]:
            raise ConfigError(
                f"model.{key}: the backbone hands on levels {list(out)}, and not {listed(map(str, missing))}; change "
                f"model.{key} or model.backbone.out"
            )
        return [out.index(level) for level in levels]
