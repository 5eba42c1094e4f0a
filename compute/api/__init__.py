"""The REST API of computations: for members, and for data nodes."""
