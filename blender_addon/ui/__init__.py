"""What the person sees of Clickfield in a window: panels, the list of labels, the Label tool, menus, marks."""
