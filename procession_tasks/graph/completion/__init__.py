"""Completion in shells: what can be typed, and a script for each shell that knows it."""
