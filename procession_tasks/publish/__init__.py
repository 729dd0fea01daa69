"""Publishes images: pushes them to registries."""
