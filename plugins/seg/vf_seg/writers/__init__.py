"""Layouts that labels are written in."""
