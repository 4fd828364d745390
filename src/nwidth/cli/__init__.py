"""The command line: it parses, calls and prints, and computes nothing."""

from nwidth.cli.app import main

__all__ = ["main"]
