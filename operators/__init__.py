"""Thin operators, one file per verb. Each module has a ``CLASSES`` tuple."""


def _modules():
    from . import (
        ask,
        backend,
        catalogue,
        dataset,
        export,
        import_capture,
        install,
        instances,
        label_mesh,
        mark,
        mark_list,
        memory,
        nodes,
        pointing,
        render,
        separate,
        similar,
        stroke,
        tree,
        tree_files,
        tree_keys,
        tree_move,
        tree_shape,
        tree_surface,
        view,
    )

    of_the_tree = (tree, tree_move, tree_shape, tree_files, tree_surface, tree_keys)
    of_objects = (separate, instances, similar, catalogue, export)
    marking = (mark, stroke, pointing, mark_list, ask)
    return (
        backend,
        install,
        memory,
        import_capture,
        label_mesh,
        *of_the_tree,
        *marking,
        view,
        *of_objects,
        render,
        nodes,
        dataset,
    )


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
