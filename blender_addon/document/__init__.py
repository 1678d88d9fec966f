"""The label document: plain data, no bpy. ``labels`` builds and checks it, ``tree`` orders its nodes."""
