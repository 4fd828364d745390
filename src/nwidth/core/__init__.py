"""Errors, result types, validation, seeding and the registry of kinds: what every other package stands on."""
