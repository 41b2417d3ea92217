#!/usr/bin/env bash
# Restarts the ingesters of a cluster on Kubernetes, zone by zone, so that each partition always has two replicas:
# after a change of image or configuration, which ingesters do not take by themselves.
#
#   deploy/roll-zones.sh NAMESPACE [SELECTOR]
#
# SELECTOR narrows to one of several clusters in a namespace, such as app.kubernetes.io/instance=skald. It stops at the
# first zone that does not come back within TIMEOUT seconds (3600); run again, it begins from the first zone.
set -euo pipefail

namespace=${1:?usage: roll-zones.sh NAMESPACE [SELECTOR]}
selector="app.kubernetes.io/name=skald,app.kubernetes.io/component=ingester${2:+,$2}"
timeout=${TIMEOUT:-3600}
# In which everybody has looked at the list of members at least once (cluster.timing.list_interval).
settle=${SETTLE:-20}

k() { kubectl --namespace "$namespace" "$@"; }

# Lines "UID Ready" of the pods of a StatefulSet.
pods() {
    k get pods --selector "$selector,skald/zone=$1" \
        --output 'jsonpath={range .items[*]}{.metadata.uid} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}'
}

# Waits until $2 pods of zone $1 are ready, none of which has a UID in $3.
await() {
    local zone=$1 want=$2 old=$3 ready until=$((SECONDS + timeout))
    while :; do
        ready=$(pods "$zone" | { grep ' True$' || true; } | { grep -vwF "${old:-none}" || true; } | wc -l)
        if [ "$ready" -eq "$want" ]; then return; fi
        if [ "$SECONDS" -ge "$until" ]; then
            echo "zone $zone: $ready of $want ingesters are ready after ${timeout}s; see their logs and GET /cluster" >&2
            exit 1
        fi
        sleep 2
    done
}

zones=$(k get statefulsets --selector "$selector" \
    --output 'jsonpath={range .items[*]}{.metadata.labels.skald/zone} {.spec.replicas}{"\n"}{end}' | sort)
[ -n "$zones" ] || { echo "no StatefulSet in $namespace has the labels $selector" >&2; exit 1; }

while read -r zone replicas; do
    await "$zone" "$replicas" ""
done <<<"$zones"
while read -r zone replicas; do
    [ "$replicas" -gt 0 ] || continue
    echo "zone $zone: restarting $replicas ingesters"
    old=$(pods "$zone" | cut -d' ' -f1)
    k delete pods --selector "$selector,skald/zone=$zone" --wait </dev/null
    await "$zone" "$replicas" "$old"
    sleep "$settle"
done <<<"$zones"
echo "all zones run what their StatefulSets say"
