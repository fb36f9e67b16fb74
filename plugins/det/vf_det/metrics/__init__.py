"""Metrics of detection, instance and panoptic segmentation."""
