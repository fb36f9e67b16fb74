"""Facts of published data sets: names of classes in their order, and the colours that they are drawn in.

Cityscapes: Cordts et al., arXiv 1604.01685, and its label table. ADE20K: Zhou et al., arXiv 1608.05442, short forms of
the names of its scene parsing list. VOC: the devkit's. COCO-Stuff: Caesar et al., arXiv 1612.03716. LoveDA: Wang et
al., arXiv 2110.08733. Potsdam: ISPRS' 2D semantic labeling contest. CamVid: the 11 classes of SegNet, arXiv 1511.00561.
"""

from __future__ import annotations

Palette = tuple[tuple[int, int, int], ...]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


def _colours(text: str) -> Palette:
    """Return RGB colours of six hexadecimal digits each."""
    data = bytes.fromhex(text)
    return tuple((data[i], data[i + 1], data[i + 2]) for i in range(0, len(data), 3))


CITYSCAPES = _names(
    "road|sidewalk|building|wall|fence|pole|traffic light|traffic sign|vegetation|terrain|sky|person|rider|car|"
    "truck|bus|train|motorcycle|bicycle"
)
CITYSCAPES_COLOURS = _colours(
    "804080f423e846464666669cbe9999999999faaa1edcdc006b8e2398fb984682b4dc143cff000000008e000046003c640050640000e6770b20"
)
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Label id of each class."""
CITYSCAPES_VOID = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30, 255)
"""Label ids that the benchmark leaves out; 255 stands for the licence plate's -1."""
ADE20K = _names(
    "wall|building|sky|floor|tree|ceiling|road|bed|windowpane|grass|cabinet|sidewalk|person|earth|door|table|"
    "mountain|plant|curtain|chair|car|water|painting|sofa|shelf|house|sea|mirror|rug|field|armchair|seat|fence|"
    "desk|rock|wardrobe|lamp|bathtub|railing|cushion|base|box|column|signboard|chest of drawers|counter|sand|"
    "sink|skyscraper|fireplace|refrigerator|grandstand|path|stairs|runway|case|pool table|pillow|screen door|"
    "stairway|river|bridge|bookcase|blind|coffee table|toilet|flower|book|hill|bench|countertop|stove|palm|"
    "kitchen island|computer|swivel chair|boat|bar|arcade machine|hovel|bus|towel|light|truck|tower|chandelier|"
    "awning|streetlight|booth|television receiver|airplane|dirt track|apparel|pole|land|bannister|escalator|"
    "ottoman|bottle|buffet|poster|stage|van|ship|fountain|conveyer belt|canopy|washer|plaything|swimming pool|"
    "stool|barrel|basket|waterfall|tent|bag|minibike|cradle|oven|ball|food|step|tank|trade name|microwave|pot|"
    "animal|bicycle|lake|dishwasher|screen|blanket|sculpture|hood|sconce|vase|traffic light|tray|ashcan|fan|pier|"
    "crt screen|plate|monitor|bulletin board|shower|radiator|glass|clock|flag"
)
ADE20K_COLOURS = _colours(
    "787878b4787806e6e650323204c8037878508c8c8ccc05ffe6e6e604fa07e005ffebff0796053d78784608ff33ff06528fff8cccff04"
    "ff3307cc46030066c83de6faff06330b66ffff0747ff09e00907e6dcdcdcff095c7009ff08ffd607ffe0ffb8060aff47ff290a07ffff"
    "e0ff086608ffff3d06ffc207ff7a0800ff14ff0829ff05990633ffeb0cffa0961400a3ff8c8c8cfa0a0f14ff001fff00ff1f00ffe000"
    "99ff000000ffff470000ebff00adff1f00ff0bc8c8ff520000fff5003dff00ff7000ff85ff0000ffa300ff6600c2ff00008fff33ff00"
    "0052ff00ff2900ffad0a00ffadff0000ff99ff5c00ff00ffff00f5ff0066ffad00ff0014ffb8b8001fff00ff3d0047ffff00cc00ffc2"
    "00ff52000aff0070ff3300ff00c2ff007aff00ffa3ff990000ff0aff70008fff005200ffa3ff00ffeb0008b8aa8500ff00ff5cb800ff"
    "ff001f00b8ff00d6ffff00705cff0000e0ff70e0ff46b8a0a300ff9900ff47ff00ff00a3ffcc00ff008f00ffeb85ff00ff00ebf500ff"
    "ff007afff5000abed4d6ff0000ccff1400ffffff000099ff0029ff00ffcc2900ff29ff00ad00ff00f5ff4700ff7a00ff00ffb8005cff"
    "b8ff000085ffffd60019c2c266ff005c00ff"
)
VOC = _names(
    "background|aeroplane|bicycle|bird|boat|bottle|bus|car|cat|chair|cow|diningtable|dog|horse|motorbike|person|"
    "pottedplant|sheep|sofa|train|tvmonitor"
)
VOC_COLOURS = _colours(
    "000000800000008000808000000080800080008080808080400000c00000408000c08000400080c00080408080c08080004000804000"
    "00c00080c000004080"
)
LOVEDA = _names("background|building|road|water|barren|forest|agriculture")
LOVEDA_COLOURS = _colours("ffffffff0000ffff000000ff9f81b700ff00ffc380")
POTSDAM = _names("impervious surface|building|low vegetation|tree|car|clutter")
POTSDAM_COLOURS = _colours("ffffff0000ff00ffff00ff00ffff00ff0000")
CAMVID = _names("sky|building|pole|road|pavement|tree|sign|fence|car|pedestrian|bicyclist")
CAMVID_COLOURS = _colours("808080800000c0c0808040803c28de808000c080804040804000804040000080c0")
COCO_STUFF = _names(
    "person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant|stop sign|"
    "parking meter|bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe|backpack|umbrella|handbag|tie|"
    "suitcase|frisbee|skis|snowboard|sports ball|kite|baseball bat|baseball glove|skateboard|surfboard|"
    "tennis racket|bottle|wine glass|cup|fork|knife|spoon|bowl|banana|apple|sandwich|orange|broccoli|carrot|"
    "hot dog|pizza|donut|cake|chair|couch|potted plant|bed|dining table|toilet|tv|laptop|mouse|remote|keyboard|"
    "cell phone|microwave|oven|toaster|sink|refrigerator|book|clock|vase|scissors|teddy bear|hair drier|"
    "toothbrush|banner|blanket|branch|bridge|building-other|bush|cabinet|cage|cardboard|carpet|ceiling-other|"
    "ceiling-tile|cloth|clothes|clouds|counter|cupboard|curtain|desk-stuff|dirt|door-stuff|fence|floor-marble|"
    "floor-other|floor-stone|floor-tile|floor-wood|flower|fog|food-other|fruit|furniture-other|grass|gravel|"
    "ground-other|hill|house|leaves|light|mat|metal|mirror-stuff|moss|mountain|mud|napkin|net|paper|pavement|"
    "pillow|plant-other|plastic|platform|playingfield|railing|railroad|river|road|rock|roof|rug|salad|sand|sea|"
    "shelf|sky-other|skyscraper|snow|solid-other|stairs|stone|straw|structural-other|table|tent|textile-other|"
    "towel|tree|vegetable|wall-brick|wall-concrete|wall-other|wall-panel|wall-stone|wall-tile|wall-wood|"
    "water-other|waterdrops|window-blind|window-other|wood"
)
COCO_STUFF_COLOURS = _colours(
    "00c04000c04000406080c0c000404000c0e000c0c080c04000c06080c0408020c00000e000004000a0c08000608000c00020c08080e0"
    "0000c080a0c080800080002080200080008040802000a000000000c080a00020000080804080a080a000008000c08020806080000080"
    "40002000e080800000c000a00060808080804000a080e080808040c000208060008000c000802040e0000000408080a04060000080c0"
    "0080a0c0e000008040808020c020800040c000002040a0808040408000a040208080c0c00000a0c0a08080c000800060c02000804080"
    "40806040a000004000c080e040200000c0804080e0c0a00000c000c08060c0608000408040006040e080804000c000e040608080c080"
    "4000e0c0e08080c040c00060c060008040c000806000e0004040408080e000600040c0c00080e080e00040c0408080608020804000c0"
    "00406000a080c000408040e0002080c080c00040e080a080c08000804020802040c0008040c02000a040400000c0c0a0002040408080"
    "40c0a080a040408000c0c0208060c040008040402000e0c0c00000c040a00060c0c080804040a080e0c0c08040c04020806040c000c0"
    "00c02040e04040004080c0a04060404080c000c0a0c0e04040804080c020c020c04040c000402040a0c0c040408040a04020c0c0c0c0"
    "0040a0c0a0c0c0c000804060c02040c0408040c06040a040404000"
)
COCO_ABSENT = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
"""Ids from 1 to 182 that no class has."""
COCO_STUFF_IDS = tuple(i for i in range(1, 183) if i not in COCO_ABSENT)
"""COCO id of each class; a pixel of the published maps is that less 1."""
