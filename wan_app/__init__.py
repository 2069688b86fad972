"""Wan App: video made on your own machine, with your own face in it."""

__version__ = "0.1.0"
