"""Writes image archives from a staged tree, and reads them back to check them."""
