"""Parametrized equations: the protocol, its capabilities, and a zoo with known answers."""
