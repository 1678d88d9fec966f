"""All of the extension that lives in Blender, except the operators."""


def _modules():
    from . import handlers, installing, live, looks, preferences, properties
    from .ui import (
        ask_panel,
        backend_section,
        keys,
        label_keys,
        label_list,
        limits_section,
        mark_list,
        menus,
        objects_panel,
        output,
        overlay,
        panels,
        status,
        tool,
        view_panel,
    )

    sidebar = (status, panels, label_list, label_keys, mark_list, view_panel, objects_panel, output)
    return (
        properties,
        preferences,
        live,
        installing,
        backend_section,
        limits_section,
        handlers,
        looks,
        *sidebar,
        tool,
        keys,
        menus,
        overlay,
        ask_panel,
    )


def register() -> None:
    """Register every module, each after what it needs."""
    for module in _modules():
        module.register()


def unregister() -> None:
    """In reverse order."""
    for module in reversed(_modules()):
        module.unregister()
