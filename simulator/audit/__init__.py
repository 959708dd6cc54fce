"""The claims of the source document: as written, and recomputed by this package."""
