"""The task graph on doit; the only code that imports it.

go-inputs:api ─► go-compile:api ─► inject-binary:api ─► pack-aci:api ─► build:api
deploy/aci/api/rootfs ─────────────┘                    │
deploy/aci/api/manifest ────────────────────────────────┘
"""
