"""What the files of the repository declare, read and checked."""
