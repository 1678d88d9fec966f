"""Thin operators, one file per verb. Each module has a ``CLASSES`` tuple."""


def _modules():
    from . import backend, catalogue, import_capture, mark, render, separate, tree, view

    return (backend, import_capture, tree, mark, view, separate, catalogue, render)


def register() -> None:
    """Register the operators of every module."""
    import bpy

    for module in _modules():
        for cls in module.CLASSES:
            bpy.utils.register_class(cls)


def unregister() -> None:
    """In reverse order."""
    import bpy

    for module in reversed(_modules()):
        for cls in reversed(module.CLASSES):
            bpy.utils.unregister_class(cls)
