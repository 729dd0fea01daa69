"""Reads the shell scripts of packages and follows what they would do; nothing is ever run."""
