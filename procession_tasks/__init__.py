"""Procession's image build: a declared task graph on doit.

    graph/        the only code that imports doit: tasks, checker, state, commands
    run/          images as containers of an engine on this machine
    publish/      registries, Kubernetes
    cache/        results by what they follow from: disk, servers, engines
    image/        archives: tar, gzip, ACI, OCI, and the independent verifier
    rootfs/       what an image's file system holds, and how it is staged
    golang/       the toolchain, the inputs of a program, compiling
    debian/       packages: signed indexes, what is chosen from them, the store
    definition/   manifest, image.yaml and pyproject.toml as checked values
    step  states  kept  files  process  interruption  notice  errors  platform  web  xdg        the leaves

Imports point downwards only.
"""
