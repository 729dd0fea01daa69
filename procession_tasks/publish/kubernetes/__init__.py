"""Runs the images on Kubernetes: checks the manifests, renders them with digests, and deploys them."""
