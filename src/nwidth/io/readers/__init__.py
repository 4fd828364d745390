"""Readers of data files, chosen by content. Each returns a plain dataclass; nothing a file holds is executed."""
