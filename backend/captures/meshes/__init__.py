"""Meshes and point clouds without images: one module per file format, and `open_mesh` for all of them."""

from .scanned import ScannedMesh, find_mesh, open_mesh, scanned_arrays

__all__ = ["ScannedMesh", "find_mesh", "open_mesh", "scanned_arrays"]
