"""Debian's packages: indexes and their signatures, closures, locks, the store, what a .deb holds."""
