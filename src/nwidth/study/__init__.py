"""A study: one YAML file that drives everything, and steps that are done once."""
