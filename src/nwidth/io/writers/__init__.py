"""Writers of the field's data formats. Each gets plain arrays, and refuses what its layout cannot hold."""
