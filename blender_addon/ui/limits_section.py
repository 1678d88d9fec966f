"""Limits in the preferences: how much memory and disk the backend may take, and what the cache holds."""

from .. import caching, preferences


def draw(context, layout):
    """Two boxes below the rest."""
    own = preferences.get()
    box = layout.box().column()
    box.label(text="Memory", icon="MEMORY")
    box.prop(own, "memory", text="Memory (GB)" if own.memory else "Memory (automatic)")
    box.prop(own, "gpu_memory", text="GPU Memory (GB)" if own.gpu_memory else "GPU Memory (all)")
    box.prop(own, "release_before_render")
    box.operator("clickfield.release_memory", icon="CANCEL")
    box = layout.box().column()
    box.label(text="Cache", icon="DISK_DRIVE")
    box.prop(own, "cache_size", text="Cache Size (GB)")
    box.prop(own, "unpacked_size", text="Unpacked Captures (GB)")
    row = box.row()
    row.label(text=caching.in_words())
    row.operator("clickfield.clear_cache", icon="TRASH")


def register() -> None:
    """Show the section in the preferences."""
    preferences.sections.append(draw)


def unregister() -> None:
    """Take it out."""
    preferences.sections.remove(draw)
