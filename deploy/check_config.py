"""Asks the binary whether it takes arguments, environment and configuration of every pod.

usage: check_config.py SKALD manifests.yaml    (check.sh calls it)
"""

import os
import subprocess
import sys
import tempfile

import yaml


def main(skald, path):
    with open(path) as file:
        objects = [o for o in yaml.safe_load_all(file) if o]
    configs = {o["metadata"]["name"]: o["data"] for o in objects if o["kind"] == "ConfigMap"}
    bad = 0
    for o in objects:
        if o["kind"] not in ("Deployment", "StatefulSet"):
            continue
        pod = o["spec"]["template"]
        container = pod["spec"]["containers"][0]
        if container["command"] == ["skald"]:
            bad += run(skald, o["metadata"]["name"], pod, container, configs)
    return 1 if bad else 0


def run(skald, name, pod, container, configs):
    with tempfile.TemporaryDirectory() as directory:
        user = False
        for volume in pod["spec"]["volumes"]:
            for file, text in configs.get(volume.get("configMap", {}).get("name"), {}).items():
                user |= bool(yaml.safe_load(text)["cluster"]["etcd"].get("username"))
                with open(os.path.join(directory, file), "w") as out:
                    out.write(text)
        args = [a.replace("/etc/skald/", directory + "/") for a in container["args"]]
        done = subprocess.run(
            [skald, *args, "--config.check"], env=environment(name, pod, container, user), capture_output=True, text=True
        )
    if done.returncode != 0:
        print(f"{name}: {done.stdout}{done.stderr}", file=sys.stderr)
    return done.returncode != 0


def environment(name, pod, container, user):
    """As the kubelet makes it: $(NAME) stands for what came before."""
    fields = {"metadata.name": f"{name}-0", "metadata.namespace": "skald", "status.podIP": "10.0.0.1"}
    fields |= {f"metadata.labels['{k}']": v for k, v in pod["metadata"]["labels"].items()}
    # What a Secret would bring: a user of etcd needs a password.
    env = {"SKALD_CLUSTER__ETCD__PASSWORD": "x"} if "envFrom" in container and user else {}
    for e in container["env"]:
        value = e["value"] if "value" in e else fields[e["valueFrom"]["fieldRef"]["fieldPath"]]
        for key, known in env.items():
            value = value.replace(f"$({key})", known)
        env[e["name"]] = value
    return env


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
