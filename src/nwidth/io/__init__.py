"""The model file, and readers of the field's data formats."""
