"""Models as files that run elsewhere, and those files as models again."""

from vf.export.load import Exported, graph_device, is_exported, load_exported

__all__ = ["Exported", "graph_device", "is_exported", "load_exported"]
