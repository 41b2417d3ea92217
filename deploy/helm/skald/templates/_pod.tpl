{{/*
The spec of a pod: (dict "root" $ "role" "querier" "values" .Values.querier). A role with `persistence` has its volume
from the StatefulSet, the others an emptyDir. `zone` is that of an ingester.
*/}}
{{- define "skald.pod" -}}
{{- $name := include "skald.name" .root -}}
serviceAccountName: {{ $name }}-{{ .role }}
automountServiceAccountToken: false
# Variables of services named skald-… would be read as configuration.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds | default 60 }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with mergeOverwrite (dict) (.values.nodeSelector | default dict) ((.zone | default dict).nodeSelector | default dict) }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: skald
    image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    command: [skald]
    args:
      - --config.file=/etc/skald/skald.yaml
      - --target={{ .role }}
      - --data-dir=/data
      - --http-listen=0.0.0.0:3100
      - --grpc-listen=0.0.0.0:9095
      {{- if eq .role "storage" }}
      - --storage=file:///data/store
      {{- end }}
      {{- with .values.extraArgs }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    env:
      {{- if .zone }}
      - name: POD_NAME
        valueFrom: { fieldRef: { fieldPath: metadata.name } }
      # The number at its end is the partition.
      - name: SKALD_CLUSTER__REPLICA_ID
        value: $(POD_NAME)
      - name: POD_NAMESPACE
        valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
      - name: SKALD_CLUSTER__ZONE
        value: {{ .zone.name | quote }}
      - name: SKALD_CLUSTER__ADVERTISE
        value: $(POD_NAME).{{ $name }}-ingester-zone-{{ .zone.name }}.$(POD_NAMESPACE).svc:9095
      {{- else }}
      - name: POD_IP
        valueFrom: { fieldRef: { fieldPath: status.podIP } }
      - name: SKALD_CLUSTER__ADVERTISE
        value: $(POD_IP):9095
      {{- end }}
      {{- with .values.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with .root.Values.secretEnv }}
    envFrom:
      - secretRef: { name: {{ . }} }
    {{- end }}
    ports:
      - { name: http, containerPort: 3100 }
      - { name: grpc, containerPort: 9095 }
    {{- if has .role (list "distributor" "querier") }}
    # Until those who send here have heard that the pod goes.
    lifecycle:
      preStop: { sleep: { seconds: 5 } }
    {{- end }}
    # An hour for replay. Liveness asks only whether the process answers.
    startupProbe:
      httpGet: { path: /livez, port: http }
      periodSeconds: 1
      failureThreshold: 60
    readinessProbe:
      httpGet: { path: /ready, port: http }
      periodSeconds: 5
    livenessProbe:
      httpGet: { path: /livez, port: http }
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: 6
    resources: {{- toYaml .values.resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: { drop: [ALL] }
    volumeMounts:
      - { name: data, mountPath: /data }
      - { name: config, mountPath: /etc/skald, readOnly: true }
      {{- if .root.Values.etcd.tlsSecret }}
      - { name: etcd-tls, mountPath: /etc/skald-etcd, readOnly: true }
      {{- end }}
volumes:
  - name: config
    configMap: { name: {{ $name }} }
  {{- if not .values.persistence }}
  # Its addresses and its last picture of the cluster; a querier's cache of blocks, with room to spare.
  - name: data
    emptyDir: { sizeLimit: {{ if eq .role "querier" }}3Gi{{ else }}256Mi{{ end }} }
  {{- end }}
  {{- with .root.Values.etcd.tlsSecret }}
  - name: etcd-tls
    secret: { secretName: {{ . }} }
  {{- end }}
{{- end }}

{{/* Metadata of a pod template; a changed configuration is a changed pod. */}}
{{- define "skald.podMetadata" -}}
labels:
  {{- include "skald.labels" . | nindent 2 }}
  {{- with .zone }}
  skald/zone: {{ .name | quote }}
  {{- end }}
annotations:
  checksum/config: {{ include "skald.config" .root | sha256sum }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The volume of a StatefulSet. */}}
{{- define "skald.claims" -}}
- metadata:
    name: data
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .storageClassName }}
    storageClassName: {{ . }}
    {{- end }}
    resources: { requests: { storage: {{ .size }} } }
{{- end }}
