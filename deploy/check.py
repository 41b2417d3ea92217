"""What schemas do not say of rendered manifests: that names and labels meet, and that the house rules hold.

usage: check.py NAME < manifests.yaml    (check.sh calls it)
"""

import sys

import yaml


def main(name):
    objects = [o for o in yaml.safe_load_all(sys.stdin) if o]
    problems = list(check(objects))
    for problem in problems:
        print(f"{name}: {problem}", file=sys.stderr)
    return 1 if problems else 0


def check(objects):
    of = lambda *kinds: [o for o in objects if o["kind"] in kinds]
    names = {(o["kind"], o["metadata"]["name"]) for o in objects}
    workloads = of("Deployment", "StatefulSet")
    templates = {o["metadata"]["name"]: o["spec"]["template"] for o in workloads}
    labels = {n: t["metadata"]["labels"] for n, t in templates.items()}
    selected = lambda s: [n for n, have in labels.items() if matches(s, have)]

    if len(names) != len(objects):
        yield "an object stands there twice"
    for o in workloads:
        yield from workload(o, names)
    for o in of("Service"):
        found = selected({"matchLabels": o["spec"]["selector"]})
        if len(found) != 1:
            yield f"Service {o['metadata']['name']} selects {found}, not one workload"
    budgets = [n for o in of("PodDisruptionBudget") for n in selected(o["spec"]["selector"])]
    for n in {n for n in budgets if budgets.count(n) > 1}:
        yield f"pods of {n} have two budgets, so they cannot be evicted at all"
    for o in of("NetworkPolicy"):
        if not selected(o["spec"]["podSelector"]):
            yield f"NetworkPolicy {o['metadata']['name']} selects nothing"
    if of("NetworkPolicy"):
        denied = [
            n
            for o in of("NetworkPolicy")
            if o["spec"]["policyTypes"] == ["Ingress", "Egress"] and "egress" not in o["spec"]
            for n in selected(o["spec"]["podSelector"])
        ]
        for n in set(templates) - set(denied):
            yield f"{n} has no policy that denies by default"
    yield from zones(of("StatefulSet"))


def workload(o, names):
    name, spec, pod = o["metadata"]["name"], o["spec"], o["spec"]["template"]["spec"]
    say = lambda text: f"{name}: {text}"
    if not matches(spec["selector"], spec["template"]["metadata"]["labels"]):
        yield say("its selector does not match its pods")
    if pod.get("automountServiceAccountToken") is not False:
        yield say("a service account token is mounted")
    if pod.get("enableServiceLinks") is not False:
        yield say("service links would be read as configuration")
    account = pod.get("serviceAccountName")
    if account and ("ServiceAccount", account) not in names:
        yield say(f"there is no ServiceAccount {account}")
    for volume in pod.get("volumes", []):
        config = volume.get("configMap", {}).get("name")
        if config and ("ConfigMap", config) not in names:
            yield say(f"there is no ConfigMap {config}")
    security = pod.get("securityContext", {})
    if not security.get("runAsNonRoot") or security.get("runAsUser") != 65532:
        yield say("does not run as 65532")
    if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield say("has no seccomp profile")
    volumes = {v["name"] for v in pod.get("volumes", []) + claims(spec)}
    for container in pod["containers"]:
        yield from map(say, contents(container, volumes, o["kind"]))
    if o["kind"] == "StatefulSet" and ("Service", spec["serviceName"]) not in names:
        yield say(f"there is no Service {spec['serviceName']}")


def contents(container, volumes, kind):
    ours = container["name"] == "skald"
    security = container.get("securityContext", {})
    if security.get("readOnlyRootFilesystem") is not True:
        yield "its root is writable"
    if security.get("allowPrivilegeEscalation") is not False:
        yield "may escalate privileges"
    if security.get("capabilities") != {"drop": ["ALL"]}:
        yield "keeps capabilities"
    for mount in container.get("volumeMounts", []):
        if mount["name"] not in volumes:
            yield f"mounts {mount['name']}, which is not there"
    resources = container["resources"]
    if "cpu" in resources["limits"]:
        yield "has a limit of CPU"
    if kind == "StatefulSet" and resources["requests"]["memory"] != resources["limits"]["memory"]:
        yield "keeps state, but its memory is not reserved"
    path = lambda probe: container.get(probe, {}).get("httpGet", {}).get("path")
    if ours and path("livenessProbe") != "/livez":
        yield "liveness must not ask for more than /livez"
    if ours and (path("readinessProbe"), path("startupProbe")) != ("/ready", "/livez"):
        yield "readiness asks /ready, startup /livez: a long replay is no reason to start it over"


def zones(sets):
    """Ingesters: as many in each zone, zones apart from each other, pods under the name that they advertise."""
    ingesters = [s for s in sets if "skald/zone" in s["metadata"]["labels"]]
    if len(ingesters) not in (1, 3):
        yield f"there are {len(ingesters)} zones of ingesters"
    if len({s["spec"]["replicas"] for s in ingesters}) > 1:
        yield "zones have different numbers of ingesters, so some partition lacks replicas"
    for s in ingesters:
        name, zone, spec = s["metadata"]["name"], s["metadata"]["labels"]["skald/zone"], s["spec"]
        pod = spec["template"]["spec"]
        env = {e["name"]: e.get("value") for e in pod["containers"][0]["env"]}
        host = env["SKALD_CLUSTER__ADVERTISE"].replace("$(SKALD_CLUSTER__ZONE)", zone)
        if host != f"$(POD_NAME).{spec['serviceName']}.$(POD_NAMESPACE).svc:9095":
            yield f"{name} advertises {host}, which is not the name of its pod"
        if env["SKALD_CLUSTER__REPLICA_ID"] != "$(POD_NAME)" or spec["updateStrategy"]["type"] != "OnDelete":
            yield f"{name}: its pods must be called as replicas and restart only on request"
        anti = pod.get("affinity", {}).get("podAntiAffinity", {})
        for rule in anti.get("requiredDuringSchedulingIgnoredDuringExecution", []):
            if matches(rule["labelSelector"], spec["template"]["metadata"]["labels"]):
                yield f"{name}: its own zone is kept from its nodes"
            others = [t for t in ingesters if t is not s]
            if not all(matches(rule["labelSelector"], t["spec"]["template"]["metadata"]["labels"]) for t in others):
                yield f"{name}: another zone may share its nodes"


def claims(spec):
    return [c["metadata"] for c in spec.get("volumeClaimTemplates", [])]


def matches(selector, labels):
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for e in selector.get("matchExpressions", []):
        has = labels.get(e["key"]) in e["values"]
        if has != (e["operator"] == "In"):
            return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
