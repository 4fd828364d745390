"""Reduced bases as source code for other machines."""
