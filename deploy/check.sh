#!/usr/bin/env bash
# Renders what is in deploy/kubernetes and deploy/helm and checks it, with those of these tools that are found:
#
#   kubectl               renders deploy/kubernetes (kustomize is in it)
#   helm                  lints and renders deploy/helm (3.8 or newer)
#   kubernetes-validate   schemas, which it brings along: pip install kubernetes-validate
#   kubeconform           schemas; from KUBE_SCHEMAS (its -schema-location), else from the net if that answers
#   python3 with PyYAML   what schemas do not say: check.py
#   SKALD=path            the binary itself: whether each pod's arguments and configuration are accepted
#
# It fails if something is wrong, not if a tool is missing, and says at the end what really ran.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

version=${KUBE_VERSION:-1.34}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
did=() lacks=()

found() { command -v "$1" >/dev/null; }

if found kubectl && kubectl kustomize --help >/dev/null 2>&1; then
    for overlay in base overlays/try-out overlays/example; do
        kubectl kustomize "kubernetes/$overlay" >"$out/kubernetes-${overlay##*/}.yaml"
    done
    did+=("kubectl kustomize")
else
    lacks+=(kubectl)
fi

if found helm; then
    for values in helm/skald/ci/*-values.yaml; do
        case=$(basename "$values" -values.yaml)
        helm lint helm/skald --strict --quiet --kube-version "$version.0" --values "$values"
        helm template skald helm/skald --namespace skald --kube-version "$version.0" --values "$values" \
            >"$out/helm-$case.yaml"
    done
    # What cannot work must be refused.
    for bad in replicationFactor=2 ingester.replcas=2 'zones=null' 'etcd.endpoints=null' 'storage.url='; do
        if helm template skald helm/skald --kube-version "$version.0" --values helm/skald/ci/production-values.yaml \
            --set "$bad" >/dev/null 2>&1; then
            echo "helm takes $bad" >&2
            exit 1
        fi
    done
    did+=("helm lint and template")
else
    lacks+=(helm)
fi

rendered=("$out"/*.yaml)
[ -e "${rendered[0]}" ] || { echo "deploy: nothing checked, neither kubectl nor helm is here"; exit 0; }

if found kubernetes-validate; then
    # It knows no custom resources.
    for file in "${rendered[@]}"; do
        python3 - "$file" >"$file.plain" <<'PY'
import re, sys
parts = re.split(r"^---\n", open(sys.argv[1]).read(), flags=re.M)
print("---\n".join(p for p in parts if not re.search(r"^kind: ServiceMonitor$", p, re.M)))
PY
        kubernetes-validate --strict --quiet --kubernetes-version "$version" "$file.plain"
    done
    did+=("kubernetes-validate $version")
else
    lacks+=(kubernetes-validate)
fi

if found kubeconform; then
    schemas=${KUBE_SCHEMAS:-default}
    if [ "$schemas" != default ] || curl --silent --fail --head --max-time 5 --output /dev/null \
        "https://raw.githubusercontent.com/yannh/kubernetes-json-schema/master/v$version.0-standalone-strict/service-v1.json"; then
        kubeconform -strict -skip ServiceMonitor -kubernetes-version "$version.0" -schema-location "$schemas" \
            "${rendered[@]}"
        did+=("kubeconform $version")
    else
        lacks+=("schemas for kubeconform")
    fi
else
    lacks+=(kubeconform)
fi

if found python3 && python3 -c 'import yaml' 2>/dev/null; then
    for file in "${rendered[@]}"; do
        python3 check.py "$(basename "$file" .yaml)" <"$file"
    done
    did+=("check.py")
    if [ -n "${SKALD:-}" ]; then
        for file in "${rendered[@]}"; do
            python3 check_config.py "$SKALD" "$file"
        done
        did+=("skald --config.check")
    fi
else
    lacks+=("python3 with PyYAML")
fi

join() { local IFS=,; echo "${*//,/}" | sed 's/,/, /g'; }
echo "deploy: ${#rendered[@]} renderings pass $(join "${did[@]}")${lacks:+; not here: $(join "${lacks[@]}")}"
