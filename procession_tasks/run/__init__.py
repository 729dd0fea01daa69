"""Images in containers of this machine: one in the foreground, or the whole system with podman or docker."""
