"""All of the extension that lives in Blender, except the operators."""


def _modules():
    from . import handlers, live, preferences, properties
    from .ui import menus, output, overlay, panels, tool

    return (properties, preferences, live, handlers, panels, output, tool, menus, overlay)


def register() -> None:
    """Register every module, each after what it needs."""
    for module in _modules():
        module.register()


def unregister() -> None:
    """In reverse order."""
    for module in reversed(_modules()):
        module.unregister()
