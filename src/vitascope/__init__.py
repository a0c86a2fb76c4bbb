"""Vitascope: an open workbench for AI video generation."""

__version__ = "0.1.0"
