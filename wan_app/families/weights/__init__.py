"""Weights: where they are, whether they are whole, their licences and downloads."""
