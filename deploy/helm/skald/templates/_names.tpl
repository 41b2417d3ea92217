{{- define "skald.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 36 | trimSuffix "-" -}}
{{- end }}

{{/* Labels by which pods of a role are found: (dict "root" $ "role" "querier"). */}}
{{- define "skald.selector" -}}
app.kubernetes.io/name: skald
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "skald.labels" -}}
{{ include "skald.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* What cannot work is refused here, with what to do instead. */}}
{{- define "skald.check" -}}
{{- $rf := int .Values.replicationFactor -}}
{{- if not (has $rf (list 1 3)) -}}
{{- fail (printf "replicationFactor is %d: it must be 1 or 3 (with 2 the loss of one replica would stop writes)" $rf) -}}
{{- end -}}
{{- if ne (len .Values.zones) $rf -}}
{{- fail (printf "zones has %d entries: there must be as many as replicationFactor, %d" (len .Values.zones) $rf) -}}
{{- end -}}
{{- if and (not .Values.etcd.endpoints) (not .Values.etcd.trial.enabled) -}}
{{- fail "etcd.endpoints is empty: name your etcd, or set etcd.trial.enabled to try things out" -}}
{{- end -}}
{{- if and (not .Values.storage.url) (not .Values.storageRole.enabled) -}}
{{- fail "storage.url is empty: name a bucket such as s3://bucket/prefix, or set storageRole.enabled" -}}
{{- end -}}
{{- end }}

{{/* skald.yaml, with .Values.config on top. */}}
{{- define "skald.config" -}}
{{- include "skald.check" . -}}
{{- $name := include "skald.name" . -}}
{{- $endpoints := .Values.etcd.endpoints | default (list (printf "http://%s-etcd:2379" $name)) -}}
{{- $etcd := dict "endpoints" $endpoints -}}
{{- with .Values.etcd.username }}{{ $_ := set $etcd "username" . }}{{ end -}}
{{- if .Values.etcd.tlsSecret -}}
{{- $tls := dict "ca_file" "/etc/skald-etcd/ca.crt" -}}
{{- if .Values.etcd.clientCertificate -}}
{{- $_ := set $tls "cert_file" "/etc/skald-etcd/tls.crt" -}}
{{- $_ := set $tls "key_file" "/etc/skald-etcd/tls.key" -}}
{{- end -}}
{{- $_ := set $etcd "tls" $tls -}}
{{- end -}}
{{- $storage := dict "url" (.Values.storage.url | default (printf "grpc://%s-storage:9095" $name)) -}}
{{- with .Values.storage.options }}{{ $_ := set $storage "options" . }}{{ end -}}
{{- $cluster := dict "name" $name "replication_factor" (int .Values.replicationFactor) "etcd" $etcd -}}
{{- $config := dict
  "auth" (dict "mode" .Values.auth.mode)
  "log" (dict "format" "json")
  "storage" $storage
  "cluster" $cluster
  "cache" (dict "disk_size" "2GiB")
  "ingester" (dict "flush_on_shutdown" false) -}}
{{- mustMergeOverwrite $config (deepCopy .Values.config) | toYaml -}}
{{- end }}
