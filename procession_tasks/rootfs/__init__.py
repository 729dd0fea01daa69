"""What an image's file system holds, and how it is staged on disk."""
