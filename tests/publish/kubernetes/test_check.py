"""A base is held to the images that it runs, and its resources to one another: one defect each, and its message."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from procession_tasks.errors import DefinitionError, Problem
from procession_tasks.publish.kubernetes.base import Base, parse_resources, read_base
from procession_tasks.publish.kubernetes.check import check
from procession_tasks.publish.kubernetes.images import Runs, used

BASE = "deploy/kubernetes"
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
DEFECTS = {
    "image-misspelt": (
        "api.yaml",
        "image: procession.example/procession-api",
        "image: procession.example/procession-apo",
        (
            "api.yaml: image: procession.example/procession-apo | spec.template.spec.containers[0].image: must be an image of the project, or another's that is pinned by its digest, got 'procession.example/procession-apo'\n"
            "  hint: did you mean procession.example/procession-api?"
        ),
    ),
    "image-short": (
        "api.yaml",
        "image: procession.example/procession-api",
        "image: procession-api",
        (
            "api.yaml: image: procession-api | spec.template.spec.containers[0].image: must be an image of the project, or another's that is pinned by its digest, got 'procession-api'\n"
            "  hint: did you mean procession.example/procession-api?"
        ),
    ),
    "image-tagged": (
        "api.yaml",
        "image: procession.example/procession-api",
        "image: procession.example/procession-api:0.1.0",
        (
            "api.yaml: image: procession.example/procession-api:0.1.0 | spec.template.spec.containers[0].image: must have no tag and no digest: these are rendered, got 'procession.example/procession-api:0.1.0'\n"
            "  hint: write procession.example/procession-api"
        ),
    ),
    "image-foreign": (
        "api.yaml",
        "image: procession.example/procession-api",
        "image: registry.example/other:1",
        (
            "api.yaml: image: registry.example/other:1 | spec.template.spec.containers[0].image: must be an image of the project, or another's that is pinned by its digest, got 'registry.example/other:1'\n"
            "  hint: images: procession.example/procession-api, procession.example/procession-etcd, procession.example/procession-iam, procession.example/procession-memcached, procession.example/procession-mysql, procession.example/procession-prometheus"
        ),
    ),
    "container-port": (
        "api.yaml",
        "containerPort: 8080",
        "containerPort: 8090",
        (
            "api.yaml: - {name: http, containerPort: 8090} | spec.template.spec.containers[0].ports[0].containerPort: must be a port of the image procession-api, got 8090\n"
            "  hint: ports: http (8080)"
        ),
    ),
    "port-name": (
        "memcached.yaml",
        "{name: memcached, containerPort",
        "{name: cache, containerPort",
        (
            "memcached.yaml: - {name: cache, containerPort: 11211} | spec.template.spec.containers[0].ports[0].name: must be the port's name in the manifest of procession-memcached, got 'cache'\n"
            "  hint: write name: memcached"
        ),
    ),
    "port-protocol": (
        "memcached.yaml",
        "containerPort: 11211}",
        "containerPort: 11211, protocol: UDP}",
        (
            "memcached.yaml: - {name: memcached, containerPort: 11211, protocol: UDP} | spec.template.spec.containers[0].ports[0].protocol: must be TCP, as in the manifest of procession-memcached, got 'UDP'"
        ),
    ),
    "target-number": (
        "api.yaml",
        "{name: http, port: 8080, targetPort: http}",
        "{name: http, port: 8080, targetPort: 8090}",
        (
            "api.yaml: - {name: http, port: 8080, targetPort: 8090} | spec.ports[0].targetPort: must be a port of the image procession-api, got 8090\n"
            "  hint: ports: http (8080)"
        ),
    ),
    "target-name": (
        "api.yaml",
        "{name: http, port: 8080, targetPort: http}",
        "{name: http, port: 8080, targetPort: htpp}",
        (
            "api.yaml: - {name: http, port: 8080, targetPort: htpp} | spec.ports[0].targetPort: must be a port of the image procession-api, got 'htpp'\n"
            "  hint: did you mean http?"
        ),
    ),
    "target-default": (
        "iam.yaml",
        "{name: http, port: 8081, targetPort: http}",
        "{name: http, port: 80}",
        (
            "iam.yaml: - {name: http, port: 80} | spec.ports[0].port: must be a port of the image procession-iam, got 80\n"
            "  hint: ports: http (8081)"
        ),
    ),
    "service-port": (
        "iam.yaml",
        "{name: http, port: 8081, targetPort: http}",
        "{name: http, port: 99999, targetPort: http}",
        (
            "iam.yaml: - {name: http, port: 99999, targetPort: http} | spec.ports[0].port: must be from 1 to 65535, got 99999"
        ),
    ),
    "probe-name": (
        "api.yaml",
        "{path: /readyz, port: http}",
        "{path: /readyz, port: web}",
        (
            "api.yaml: httpGet: {path: /readyz, port: web} | spec.template.spec.containers[0].readinessProbe.httpGet.port: must be a port of the image procession-api, got 'web'\n"
            "  hint: ports: http (8080)"
        ),
    ),
    "probe-number": (
        "etcd.yaml",
        "tcpSocket: {port: client}",
        "tcpSocket: {port: 2378}",
        (
            "etcd.yaml: tcpSocket: {port: 2378} | spec.template.spec.containers[0].livenessProbe.tcpSocket.port: must be a port of the image procession-etcd, got 2378\n"
            "  hint: ports: client (2379), peer (2380)"
        ),
    ),
    "undeclared": (
        "etcd.yaml",
        "            - {name: peer, containerPort: 2380}\n",
        "",
        (
            "etcd.yaml: - {name: peer, port: 2380, targetPort: peer} | spec.ports[1].targetPort: must be a port of the image procession-etcd, got 'peer'\n"
            "  hint: declare it under ports of the container"
        ),
    ),
    "user": (
        "etcd.yaml",
        "runAsUser: 901",
        "runAsUser: 902",
        (
            "etcd.yaml: runAsUser: 902 | spec.template.spec.securityContext.runAsUser: must be 901, the user of the image procession-etcd, got 902"
        ),
    ),
    "group": (
        "etcd.yaml",
        "        runAsGroup: 901\n",
        "",
        (
            "etcd.yaml: securityContext: | spec.template.spec.securityContext.runAsGroup: must be 901, the group of the image procession-etcd"
        ),
    ),
    "fs-group": (
        "etcd.yaml",
        "        fsGroup: 901\n",
        "",
        (
            "etcd.yaml: securityContext: | spec.template.spec.securityContext.fsGroup: must be 901, the group of the image procession-etcd, which writes to volumes"
        ),
    ),
    "mount-missing": (
        "mysql.yaml",
        "            - {name: tmp, mountPath: /tmp}\n",
        "",
        (
            "mysql.yaml: volumeMounts: | spec.template.spec.containers[0].volumeMounts: must have a volume to write to at /tmp, a mount point of the image procession-mysql\n"
            "  hint: add {name: …, mountPath: /tmp}"
        ),
    ),
    "mount-misspelt": (
        "etcd.yaml",
        "mountPath: /var/lib/etcd}",
        "mountPath: /var/lib/etdc}",
        (
            "etcd.yaml: volumeMounts: | spec.template.spec.containers[0].volumeMounts: must have a volume to write to at /var/lib/etcd, a mount point of the image procession-etcd\n"
            "  hint: add {name: …, mountPath: /var/lib/etcd}\n"
            "etcd.yaml: - {name: data, mountPath: /var/lib/etdc} | spec.template.spec.containers[0].volumeMounts[0].mountPath: must be a mount point of the image procession-etcd, got '/var/lib/etdc'\n"
            "  hint: did you mean /var/lib/etcd?"
        ),
    ),
    "mount-read-only": (
        "iam.yaml",
        "mountPath: /var/lib/procession-iam}",
        "mountPath: /var/lib/procession-iam, readOnly: true}",
        (
            "iam.yaml: volumeMounts: | spec.template.spec.containers[0].volumeMounts: must have a volume to write to at /var/lib/procession-iam, a mount point of the image procession-iam\n"
            "  hint: add {name: …, mountPath: /var/lib/procession-iam}"
        ),
    ),
    "mount-volume": (
        "iam.yaml",
        "- {name: data, mountPath",
        "- {name: dada, mountPath",
        (
            "iam.yaml: volumeMounts: | spec.template.spec.containers[0].volumeMounts: must have a volume to write to at /var/lib/procession-iam, a mount point of the image procession-iam\n"
            "  hint: add {name: …, mountPath: /var/lib/procession-iam}\n"
            "iam.yaml: - {name: dada, mountPath: /var/lib/procession-iam} | spec.template.spec.containers[0].volumeMounts[0].name: must be a volume of the pod, got 'dada'\n"
            "  hint: did you mean data?"
        ),
    ),
    "memory-limit": (
        "api.yaml",
        "memory: 128Mi",
        "memory: 256Mi",
        (
            "api.yaml: limits: {cpu: \"1\", memory: 256Mi} | spec.template.spec.containers[0].resources.limits.memory: must be 128Mi, as resource/memory in the manifest of procession-api, got '256Mi'"
        ),
    ),
    "cpu-request": (
        "api.yaml",
        "requests: {cpu: 100m, memory: 32Mi}",
        "requests: {memory: 32Mi}",
        (
            "api.yaml: requests: {memory: 32Mi} | spec.template.spec.containers[0].resources.requests.cpu: must be 100m, as resource/cpu in the manifest of procession-api"
        ),
    ),
    "variable": (
        "etcd.yaml",
        "name: ETCD_DATA_DIR,",
        "name: ETCD_DATADIR,",
        (
            "etcd.yaml: - {name: ETCD_DATADIR, value: /var/lib/etcd/data} | spec.template.spec.containers[0].env[1].name: must not differ from a variable of the image procession-etcd by a slip, got 'ETCD_DATADIR'\n"
            "  hint: did you mean ETCD_DATA_DIR?"
        ),
    ),
    "variable-twice": (
        "api.yaml",
        "            - {name: PROCESSION_API_IAM,",
        "            - {name: PROCESSION_API_IAM, value: x}\n            - {name: PROCESSION_API_IAM,",
        (
            "api.yaml: - {name: PROCESSION_API_IAM, value: \"http://procession-iam:8081\"} | spec.template.spec.containers[0].env[3].name: must be given once, got 'PROCESSION_API_IAM'"
        ),
    ),
    "selector": (
        "iam.yaml",
        "    matchLabels:\n      app.kubernetes.io/name: procession-iam\n  strategy",
        "    matchLabels:\n      app.kubernetes.io/name: iam\n  strategy",
        (
            "iam.yaml: app.kubernetes.io/name: iam | spec.selector.matchLabels.app.kubernetes.io/name: must select the workload's own pods, got 'iam'"
        ),
    ),
    "no-selector": (
        "iam.yaml",
        "  selector:\n    matchLabels:\n      app.kubernetes.io/name: procession-iam\n  strategy",
        "  strategy",
        ("iam.yaml: spec: | spec.selector: must select the workload's own pods"),
    ),
    "service-selector": (
        "iam.yaml",
        "  selector:\n    app.kubernetes.io/name: procession-iam\n",
        "  selector:\n    app.kubernetes.io/name: iam\n",
        (
            "iam.yaml: app.kubernetes.io/name: iam | spec.selector.app.kubernetes.io/name: must select the pods of a workload, got 'iam'"
        ),
    ),
    "service-name": (
        "etcd.yaml",
        "serviceName: procession-etcd-headless",
        "serviceName: procession-etcd-headles",
        (
            "etcd.yaml: serviceName: procession-etcd-headles | spec.serviceName: must be the name of a headless Service, got 'procession-etcd-headles'\n"
            "  hint: did you mean procession-etcd-headless?"
        ),
    ),
    "service-not-headless": (
        "etcd.yaml",
        "serviceName: procession-etcd-headless",
        "serviceName: procession-etcd",
        (
            "etcd.yaml: serviceName: procession-etcd | spec.serviceName: must be the name of a headless Service, got 'procession-etcd'\n"
            "  hint: did you mean procession-etcd-headless?"
        ),
    ),
    "budget": (
        "api.yaml",
        "maxUnavailable: 1\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: procession-api",
        "maxUnavailable: 1\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: api",
        (
            "api.yaml: app.kubernetes.io/name: api | spec.selector.matchLabels.app.kubernetes.io/name: must select the pods of a workload, got 'api'"
        ),
    ),
    "policy-selector": (
        "iam.yaml",
        "spec:\n  podSelector:\n    matchLabels:\n      app.kubernetes.io/name: procession-iam",
        "spec:\n  podSelector:\n    matchLabels:\n      app.kubernetes.io/name: iam",
        (
            "iam.yaml: app.kubernetes.io/name: iam | spec.podSelector.matchLabels.app.kubernetes.io/name: must select the pods of a workload, got 'iam'"
        ),
    ),
    "policy-peer": (
        "api.yaml",
        "              app.kubernetes.io/name: procession-memcached\n",
        "              app.kubernetes.io/name: memcached\n",
        (
            "api.yaml: app.kubernetes.io/name: memcached | spec.egress[1].to[0].podSelector.matchLabels.app.kubernetes.io/name: must select the pods of a workload, got 'memcached'"
        ),
    ),
    "policy-expression": (
        "iam.yaml",
        "values: [procession-api, procession-prometheus]",
        "values: [api]",
        (
            "iam.yaml: - podSelector: | spec.ingress[0].from[0].podSelector: must select the pods of a workload, got a mapping"
        ),
    ),
    "policy-egress-port": (
        "api.yaml",
        "- {port: 11211, protocol: TCP}",
        "- {port: 11212, protocol: TCP}",
        (
            "api.yaml: - {port: 11212, protocol: TCP} | spec.egress[1].ports[0].port: must be a port of the image procession-memcached, got 11212\n"
            "  hint: ports: memcached (11211)"
        ),
    ),
    "policy-ingress-port": (
        "iam.yaml",
        "- {port: http, protocol: TCP}",
        "- {port: https, protocol: TCP}",
        (
            "iam.yaml: - {port: https, protocol: TCP} | spec.ingress[0].ports[0].port: must be a port of the image procession-iam, got 'https'\n"
            "  hint: did you mean http?"
        ),
    ),
    "policy-protocol": (
        "iam.yaml",
        "- {port: http, protocol: TCP}",
        "- {port: http, protocol: UDP}",
        (
            "iam.yaml: - {port: http, protocol: UDP} | spec.ingress[0].ports[0].port: must be a UDP port of the image procession-iam, got 'http'\n"
            "  hint: it has no UDP port"
        ),
    ),
    "spread": (
        "api.yaml",
        "          labelSelector:\n            matchLabels:\n              app.kubernetes.io/name: procession-api\n          matchLabelKeys: [pod-template-hash]\n        - maxSkew",
        "          labelSelector:\n            matchLabels:\n              app.kubernetes.io/name: api\n          matchLabelKeys: [pod-template-hash]\n        - maxSkew",
        (
            "api.yaml: app.kubernetes.io/name: api | spec.template.spec.topologySpreadConstraints[0].labelSelector.matchLabels.app.kubernetes.io/name: must select the pods of a workload, got 'api'"
        ),
    ),
    "account": (
        "iam.yaml",
        "serviceAccountName: procession-iam",
        "serviceAccountName: procession-ian",
        (
            "iam.yaml: serviceAccountName: procession-ian | spec.template.spec.serviceAccountName: must be the name of a ServiceAccount, got 'procession-ian'\n"
            "  hint: did you mean procession-iam?"
        ),
    ),
    "claim": (
        "iam.yaml",
        "claimName: procession-iam",
        "claimName: iam-data",
        (
            "iam.yaml: persistentVolumeClaim: {claimName: iam-data} | spec.template.spec.volumes[0].persistentVolumeClaim.claimName: must be the name of a PersistentVolumeClaim, got 'iam-data'\n"
            "  hint: there are: procession-iam, procession-prometheus"
        ),
    ),
    "config-map": (
        "iam.yaml",
        "configMapRef: {name: procession-services}",
        "configMapRef: {name: procession-service}",
        (
            "iam.yaml: - configMapRef: {name: procession-service} | spec.template.spec.containers[0].envFrom[0].configMapRef.name: must be the name of a ConfigMap, got 'procession-service'\n"
            "  hint: did you mean procession-services?"
        ),
    ),
    "config-volume": (
        "prometheus.yaml",
        "configMap: {name: procession-prometheus}",
        "configMap: {name: prometheus-config}",
        (
            "prometheus.yaml: configMap: {name: prometheus-config} | spec.template.spec.volumes[1].configMap.name: must be the name of a ConfigMap, got 'prometheus-config'\n"
            "  hint: there are: procession-prometheus, procession-services"
        ),
    ),
    "strategy": (
        "iam.yaml",
        "    type: Recreate",
        "    type: RollingUpdate",
        (
            "iam.yaml: type: RollingUpdate | spec.strategy.type: must be Recreate, as the volume is for one pod at a time, got 'RollingUpdate'"
        ),
    ),
    "replicas": (
        "iam.yaml",
        "replicas: 1",
        "replicas: 2",
        (
            "iam.yaml: replicas: 2 | spec.replicas: must be 1, as the volume is for one pod at a time, got 2\n"
            "  hint: a StatefulSet has a volume a pod"
        ),
    ),
    "enforce": (
        "namespace.yaml",
        "pod-security.kubernetes.io/enforce: restricted",
        "pod-security.kubernetes.io/enforce: baseline",
        (
            "namespace.yaml: pod-security.kubernetes.io/enforce: baseline | metadata.labels.pod-security.kubernetes.io/enforce: must be restricted, got 'baseline'"
        ),
    ),
}


def spoil(root: Path, file: str, old: str, new: str) -> None:
    """Replace the first text that is like this, which has to be there."""
    path = root / BASE / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def said(problems: tuple[Problem, ...], root: Path) -> str:
    """The message, with the text of the line that a problem is at in place of its number."""

    def shown(place: re.Match[str]) -> str:
        lines = (root / BASE / place[1]).read_text().splitlines()
        return f"{place[1]}: {lines[int(place[2]) - 1].strip()} | "

    return re.sub(rf"^{BASE}/([\w.]+):(\d+): ", shown, str(DefinitionError(problems)), flags=re.MULTILINE)


def test_the_base_of_this_repository_fits_its_images(base: Path, images: Mapping[str, Runs]) -> None:
    read = read_base(base, BASE)

    assert check(read, images) == ()
    assert used(read) == images.keys()


@pytest.mark.parametrize(("file", "old", "new", "message"), DEFECTS.values(), ids=DEFECTS)
def test_a_defect_is_told_with_its_place(
    base: Path, images: Mapping[str, Runs], file: str, old: str, new: str, message: str
) -> None:
    spoil(base, file, old, new)
    assert said(check(read_base(base, BASE), images), base) == message


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        # A number for a name, another port of the Service, an amount that is written differently.
        ("api.yaml", "targetPort: http", "targetPort: 8080"),
        ("api.yaml", "{name: http, port: 8080,", "{name: http, port: 80,"),
        ("api.yaml", "requests: {cpu: 100m, memory: 32Mi}", "requests: {cpu: 0.1, memory: 32768Ki}"),
        # Variables that the image does not have are the program's affair.
        (
            "api.yaml",
            "{name: PROCESSION_API_IAM,",
            "{name: PROCESSION_API_STOP_TIMEOUT, value: 9s}\n            - {name: PROCESSION_API_IAM,",
        ),
        # Another's container, pinned, with ports of its own.
        (
            "api.yaml",
            "      containers:\n",
            "      containers:\n        - name: side\n          image: other.example/side@sha256:"
            + "0" * 64
            + "\n          ports: [{name: admin, containerPort: 9}]\n          livenessProbe: {tcpSocket: {port: admin}}\n"
            "          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}\n",
        ),
        # A ConfigMap that may be missing, and one that another volume may be read from.
        ("iam.yaml", "{name: procession-services}", "{name: other, optional: true}"),
        # A Service of what is elsewhere, and one whose endpoints are written by hand.
        ("iam.yaml", "  selector:\n    app.kubernetes.io/name: procession-iam\n  ports:", "  ports:"),
        # A policy for other namespaces says nothing of this base.
        ("network.yaml", "port: 53, protocol: UDP", "port: 5353, protocol: UDP"),
        ("iam.yaml", "accessModes: [ReadWriteOnce]", "accessModes: [ReadWriteOnce, ReadWriteMany]"),
        ("iam.yaml", "  replicas: 1\n", ""),
    ],
)
def test_what_is_said_otherwise_and_works_is_taken(
    base: Path, images: Mapping[str, Runs], file: str, old: str, new: str
) -> None:
    spoil(base, file, old, new)
    assert check(read_base(base, BASE), images) == ()


def test_a_user_that_only_the_built_image_knows_is_not_compared(base: Path, images: Mapping[str, Runs]) -> None:
    unknown = {name: Runs(each.manifest, None, None) for name, each in images.items()}
    spoil(base, "etcd.yaml", "runAsUser: 901", "runAsUser: 902")
    assert check(read_base(base, BASE), unknown) == ()


def values(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a document."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in pairs:
        yield (*path, name)
        yield from values(inner, (*path, name))


def test_a_base_of_wrong_types_is_checked_to_its_end(base: Path, images: Mapping[str, Runs]) -> None:
    """Types are a schema's affair; what is checked here must bear with any."""
    chance = random.Random(4)
    documents = [one for file in sorted((base / BASE).glob("*.yaml")) for one in yaml.safe_load_all(file.read_text())]
    checked = 0
    for _ in range(12):
        spoilt = [copy.deepcopy(one) for one in documents if one["kind"] != "Kustomization"]
        for one in chance.sample(spoilt, 6):
            path = chance.choice([path for path in values(one) if path[0] not in ("apiVersion", "kind")])
            holder = one
            for name in path[:-1]:
                holder = holder[name]
            holder[path[-1]] = chance.choice([None, 0, True, "text", [], ["text"], [[]], {}, {"a": 1}, -1.5])
        try:
            resources = parse_resources(yaml.dump_all(spoilt, Dumper=DUMPER).encode(), "all.yaml")
        except DefinitionError:
            continue
        check(Base(resources), images)
        checked += 1
    assert checked > 3
