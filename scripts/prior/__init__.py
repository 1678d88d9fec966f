"""Training of the learned prior: examples from generated scenes, networks, kernel mixture, card."""
