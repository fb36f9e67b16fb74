"""What our text detectors know of the weights of MMOCR 1.x. Free of torch.

Its backbones have torchvision's names of tensors; a ResNet with deformable convolutions those of MMDetection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vf.protocols import ClassRows, ForeignWeights

if TYPE_CHECKING:
    from vf_ocr.detection_configs import TextDetector

Rules = tuple[tuple[str, str], ...]

DB: Rules = (
    (r"neck\.lateral_convs\.(\d+)\.conv\.weight", r"neck.lateral.\1.weight"),
    (r"neck\.smooth_convs\.(\d+)\.conv\.weight", r"neck.smooth.\1.weight"),
    (r"neck\.asf_conv\.conv\.(.+)", r"neck.asf.conv.\1"),
    (r"neck\.asf_attn\.channel_wise\.0\.conv\.(.+)", r"neck.asf.channel.1.\1"),
    (r"neck\.asf_attn\.channel_wise\.1\.conv\.(.+)", r"neck.asf.channel.3.\1"),
    (r"neck\.asf_attn\.spatial_wise\.0\.conv\.(.+)", r"neck.asf.spatial.0.\1"),
    (r"neck\.asf_attn\.spatial_wise\.1\.conv\.(.+)", r"neck.asf.spatial.2.\1"),
    (r"neck\.asf_attn\.attention_wise\.conv\.(.+)", r"neck.asf.level.0.\1"),
    (r"det_head\.binarize\.(.+)", r"head.kernels.\1"),
    (r"det_head\.threshold\.(.+)", r"head.thresholds.\1"),
)
MAPS: Rules = (
    (r"det_head\.conv1\.(.+)", r"head.conv.\1"),
    (r"det_head\.bn1\.(.+)", r"head.norm.\1"),
    (r"det_head\.conv2\.(.+)", r"head.maps.\1"),
)
PSE: Rules = (
    (r"neck\.lateral_convs\.(\d+)\.conv\.(.+)", r"neck.lateral.\1.0.\2"),
    (r"neck\.lateral_convs\.(\d+)\.bn\.(.+)", r"neck.lateral.\1.1.\2"),
    (r"neck\.fpn_convs\.(\d+)\.conv\.(.+)", r"neck.smooth.\1.0.\2"),
    (r"neck\.fpn_convs\.(\d+)\.bn\.(.+)", r"neck.smooth.\1.1.\2"),
    (r"neck\.output_convs\.conv\.(.+)", r"neck.fuse.0.\1"),
    (r"neck\.output_convs\.bn\.(.+)", r"neck.fuse.1.\1"),
    *MAPS,
)
SEPARABLE = (("depthwise_conv", 0), ("pointwise_conv", 1), ("bn", 2))
PAN: Rules = (
    *((rf"neck\.reduce_conv_c{level + 2}\.(.+)", rf"neck.reduce.{level}.\1") for level in range(4)),
    *(
        (rf"neck\.fpems\.(\d+)\.{way}_add{step + 1}\.{theirs}\.(.+)", rf"neck.passes.\1.{way}.{step}.{ours}.\2")
        for way in ("up", "down")
        for step in range(3)
        for theirs, ours in SEPARABLE
    ),
    *MAPS,
)
BY_MODEL = {"DBNet": DB, "DBNetPP": DB, "PSENet": PSE, "PANet": PAN}


def detector(model: TextDetector, source: str) -> ForeignWeights | None:
    """Rules of the four detectors, for MMOCR alone."""
    rules = BY_MODEL.get(type(model).__name__)
    if source != "mmocr" or rules is None:
        return None
    return ForeignWeights(
        rules=((r"backbone\.(.+)", r"backbone.\1"), *rules),
        rows=(ClassRows(names=r"head\.(kernels\.6|maps)\.bias"),),  # what it says is of one class
        known=((("text",), (0,)),),
    )
