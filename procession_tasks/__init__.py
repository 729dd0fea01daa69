"""Procession's image build: a declared task graph on doit.

    graph/        the only code that imports doit: tasks, checker, state, commands
    image/        archives: tar, gzip, ACI, and the independent verifier
    rootfs/       what an image's file system holds, and how it is staged
    golang/       the toolchain, the inputs of a program, compiling
    definition/   manifest, image.yaml and pyproject.toml as checked values
    step  states  kept  files  process  interruption  errors  platform        the leaves

Imports point downwards only.
"""
