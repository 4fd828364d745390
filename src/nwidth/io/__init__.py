"""The model file, and readers of the data formats that people have."""
