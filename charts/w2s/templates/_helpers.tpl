{{/* The prefix of every object's name. */}}
{{- define "w2s.name" -}}
{{ default .Release.Name .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* The prefix of the objects that a canary shares: those of the release beside which it is. */}}
{{- define "w2s.owner" -}}
{{ default (include "w2s.name" .) .Values.canaryOf }}
{{- end }}

{{/* The services of a release. */}}
{{- define "w2s.components" -}}
{{ ternary (list "supervisor" "trainer" "evaluator") (list "supervisor") (empty .Values.canaryOf) | toJson }}
{{- end }}

{{/* What a Service's gRPC port speaks, as gateways and meshes read it. */}}
{{- define "w2s.protocol" -}}
{{ ternary "https" "kubernetes.io/h2c" .Values.tls.enabled }}
{{- end }}

{{/* Where a service is: a canary has a supervisor of its own, and no other. */}}
{{- define "w2s.address" -}}
{{- $prefix := include (ternary "w2s.name" "w2s.owner" (eq .component "supervisor")) .root }}
{{- printf "dns:///%s-%s.%s.svc:50051" $prefix .component .root.Release.Namespace }}
{{- end }}

{{/* Labels that a selector may have: they never change. */}}
{{- define "w2s.selector" -}}
app.kubernetes.io/name: w2s-{{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "w2s.labels" -}}
{{ include "w2s.selector" . }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: w2s
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "w2s.image" -}}
{{- $cuda := and (eq .root.Values.image.variant "cuda") (ne .component "pipelines") }}
{{- $tag := default (printf "%s%s" .root.Chart.AppVersion (ternary "-cuda" "" $cuda)) .root.Values.image.tag }}
{{- .root.Values.image.repository }}/{{ .component }}:{{ $tag }}
{{- end }}

{{/* The Secret with the TLS certificate. */}}
{{- define "w2s.tlsSecret" -}}
{{ default (printf "%s-tls" (include "w2s.name" .)) .Values.tls.existingSecret }}
{{- end }}

{{- define "w2s.artifactRoot" -}}
{{ ternary .Values.artifacts.uri "/var/lib/w2s/artifacts" (eq .Values.artifacts.store "s3") }}
{{- end }}

{{- define "w2s.claim" -}}
{{ default (printf "%s-artifacts" (include "w2s.owner" .)) .Values.artifacts.existingClaim }}
{{- end }}

{{/* The folders of the artifact store that a service writes, and nobody else does: its own kinds of artifacts. */}}
{{- define "w2s.written" -}}
{{ index (dict "supervisor" (list "labels") "trainer" (list "labels" "models") "evaluator" (list "predictions")) . | toJson }}
{{- end }}

{{/* The artifact store's volume: read-only, but for the folders that a service writes. */}}
{{- define "w2s.artifactMounts" -}}
- {name: artifacts, mountPath: /var/lib/w2s/artifacts, readOnly: true}
{{- range include "w2s.written" . | fromJsonArray }}
- {name: artifacts, mountPath: /var/lib/w2s/artifacts/{{ . }}, subPath: {{ . }}}
{{- end }}
{{- end }}

{{- define "w2s.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "w2s.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* How its pods are replaced: one process writes the database of a volume, and migrates it before it serves. */}}
{{- define "w2s.strategy" -}}
{{- if .Values.database.existingSecret -}}
{type: RollingUpdate, rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
{{- else -}}
{type: Recreate}
{{- end }}
{{- end }}

{{/* Where a client finds the services, and what it shows them. */}}
{{- define "w2s.clientEnv" -}}
{{- range $name := list "supervisor" "trainer" "evaluator" }}
- {name: W2S_{{ upper $name }}_ADDRESS, value: {{ include "w2s.address" (dict "root" $ "component" $name) | quote }}}
{{- end }}
{{- if .Values.auth.clientSecret }}
- {name: W2S_TOKEN_FILE, value: /etc/w2s/client/token}
{{- end }}
{{- if .Values.tls.enabled }}
- {name: W2S_SERVER_CA_FILE, value: /etc/w2s/tls/ca.crt}
{{- if .Values.tls.mutual }}
- {name: W2S_CLIENT_CERT_FILE, value: /etc/w2s/tls/tls.crt}
- {name: W2S_CLIENT_KEY_FILE, value: /etc/w2s/tls/tls.key}
{{- end }}
{{- end }}
{{- end }}

{{- define "w2s.clientMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .Values.auth.clientSecret }}
- {name: client-token, mountPath: /etc/w2s/client, readOnly: true}
{{- end }}
{{- if .Values.tls.enabled }}
- {name: tls, mountPath: /etc/w2s/tls, readOnly: true}
{{- end }}
{{- end }}

{{- define "w2s.clientVolumes" -}}
- {name: tmp, emptyDir: {}}
{{- if .Values.auth.clientSecret }}
- name: client-token
  secret: {secretName: {{ .Values.auth.clientSecret }}, defaultMode: 0440, items: [{key: token, path: token}]}
{{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  secret: {secretName: {{ include "w2s.tlsSecret" . }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{/* Kubelets probe gRPC in plaintext alone: with TLS they ask the metrics port. */}}
{{- define "w2s.probe" -}}
{{- if .root.Values.tls.enabled }}
httpGet: {path: /healthz, port: metrics}
{{- else }}
grpc: {port: 50051{{ with .service }}, service: {{ . }}{{ end }}}
{{- end }}
{{- end }}

{{/* A service's pod. */}}
{{- define "w2s.pod" -}}
{{- $root := .root }}
{{- $values := .values }}
{{- $name := include "w2s.name" $root }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
serviceAccountName: {{ $name }}-{{ .component }}
automountServiceAccountToken: {{ .apiAccess | default false }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
terminationGracePeriodSeconds: {{ add (mul 2 $root.Values.drainSeconds) $root.Values.preStopSeconds 10 }}
securityContext: {{- include "w2s.podSecurity" $root | nindent 2 }}
{{- if eq $root.Values.artifacts.store "pvc" }}
initContainers:
  # A kubelet would make them as root, which not every kind of volume gives to fsGroup then.
  - name: folders
    image: {{ include "w2s.image" . }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    command: {{ concat (list "mkdir" "-p") (include "w2s.written" .component | fromJsonArray) | toJson }}
    workingDir: /var/lib/w2s/artifacts
    securityContext: {{- include "w2s.containerSecurity" $root | nindent 6 }}
    resources:
      requests: {cpu: 10m, memory: 16Mi}
      limits: {memory: 64Mi}
    volumeMounts:
      - {name: artifacts, mountPath: /var/lib/w2s/artifacts}
{{- end }}
containers:
  - name: {{ .container | default .component }}
    image: {{ include "w2s.image" . }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    ports:
{{ .ports | indent 6 }}
    env:
      - {name: W2S_HOST, value: "0.0.0.0"}
      - {name: W2S_ARTIFACT_ROOT, value: {{ include "w2s.artifactRoot" $root | quote }}}
      - {name: W2S_CACHE_FOLDER, value: /tmp/w2s-cache}
      - {name: HOME, value: /tmp}
      - {name: W2S_DRAIN_S, value: {{ $root.Values.drainSeconds | quote }}}
      - {name: W2S_ALLOW_HUB, value: {{ $root.Values.models.allowHub | quote }}}
{{- if $root.Values.database.existingSecret }}
      - name: W2S_DATABASE_URL
        valueFrom: {secretKeyRef: {name: {{ $root.Values.database.existingSecret }}, key: {{ .component }}}}
{{- else }}
      - {name: W2S_DATABASE_URL, value: "sqlite:////var/lib/w2s/state/{{ .component }}.db"}
{{- end }}
{{- if $root.Values.auth.existingSecret }}
      - {name: W2S_TOKENS_FILE, value: /etc/w2s/tokens/tokens}
{{- end }}
{{- if $root.Values.auth.maxCallsPerSecond }}
      - {name: W2S_MAX_CALLS_PER_S, value: {{ $root.Values.auth.maxCallsPerSecond | quote }}}
{{- end }}
{{- if $root.Values.tls.enabled }}
      - {name: W2S_TLS_CERT_FILE, value: /etc/w2s/tls/tls.crt}
      - {name: W2S_TLS_KEY_FILE, value: /etc/w2s/tls/tls.key}
{{- if $root.Values.tls.mutual }}
      - {name: W2S_TLS_CLIENT_CA_FILE, value: /etc/w2s/tls/ca.crt}
{{- end }}
{{- end }}
{{- with $root.Values.models.existingSecret }}
      - name: HF_TOKEN
        valueFrom: {secretKeyRef: {name: {{ . }}, key: HF_TOKEN}}
{{- end }}
{{- include "w2s.clientEnv" $root | indent 6 }}
{{- with .env }}
{{ . | indent 6 }}
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . | indent 6 }}
{{- end }}
{{- if and (eq $root.Values.artifacts.store "s3") $root.Values.artifacts.existingSecret }}
    envFrom:
      - secretRef: {name: {{ $root.Values.artifacts.existingSecret }}}
{{- end }}
    startupProbe:
{{ include "w2s.probe" (dict "root" $root) | indent 6 }}
      periodSeconds: 2
      failureThreshold: 90
    readinessProbe:
{{ include "w2s.probe" (dict "root" $root "service" .service) | indent 6 }}
      periodSeconds: 5
    livenessProbe:
{{ include "w2s.probe" (dict "root" $root) | indent 6 }}
      periodSeconds: 10
      failureThreshold: 6
    lifecycle:
      preStop: {exec: {command: [python, -c, "import time; time.sleep({{ $root.Values.preStopSeconds }})"]}}
    securityContext: {{- include "w2s.containerSecurity" $root | nindent 6 }}
{{- $resources := deepCopy $values.resources }}
{{- if and $values.gpu.count (not .noGpu) }}
{{- $resources = mergeOverwrite $resources (dict "limits" (merge (dict $values.gpu.resource $values.gpu.count) (default dict $resources.limits))) }}
{{- end }}
    resources: {{- toYaml $resources | nindent 6 }}
    volumeMounts:
{{- include "w2s.clientMounts" $root | nindent 6 }}
{{- if eq $root.Values.artifacts.store "pvc" }}
{{- include "w2s.artifactMounts" .component | nindent 6 }}
{{- end }}
{{- if not $root.Values.database.existingSecret }}
      - {name: state, mountPath: /var/lib/w2s/state}
{{- end }}
{{- if $root.Values.auth.existingSecret }}
      - {name: tokens, mountPath: /etc/w2s/tokens, readOnly: true}
{{- end }}
volumes:
{{- include "w2s.clientVolumes" $root | nindent 2 }}
{{- if eq $root.Values.artifacts.store "pvc" }}
  - name: artifacts
    persistentVolumeClaim: {claimName: {{ include "w2s.claim" $root }}}
{{- end }}
{{- if not $root.Values.database.existingSecret }}
  - name: state
    persistentVolumeClaim: {claimName: {{ $name }}-{{ .component }}}
{{- end }}
{{- if $root.Values.auth.existingSecret }}
  - name: tokens
    secret: {secretName: {{ $root.Values.auth.existingSecret }}, defaultMode: 0440, items: [{key: tokens, path: tokens}]}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.topologySpreadConstraints }}
topologySpreadConstraints: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A service's Deployment, Service, claim and budget. */}}
{{- define "w2s.service" -}}
{{- $root := .root }}
{{- $full := printf "%s-%s" (include "w2s.name" $root) .component }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $full }}
  labels: {{- include "w2s.labels" . | nindent 4 }}
automountServiceAccountToken: false
{{- if not $root.Values.database.existingSecret }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ $full }}
  labels: {{- include "w2s.labels" . | nindent 4 }}
  annotations: {helm.sh/resource-policy: keep}
spec:
  accessModes: [ReadWriteOnce]
{{- with $root.Values.artifacts.storageClass }}
  storageClassName: {{ . }}
{{- end }}
  resources: {requests: {storage: {{ .values.stateSize }}}}
{{- end }}
{{- if not .inferenceService }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $full }}
  labels: {{- include "w2s.labels" . | nindent 4 }}
spec:
  # Headless: gRPC clients see every replica, and take turns.
  clusterIP: None
  selector: {{- include "w2s.selector" . | nindent 4 }}
  ports:
{{ .servicePorts | indent 4 }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $full }}
  labels: {{- include "w2s.labels" . | nindent 4 }}
spec:
{{- if not .autoscaled }}
  replicas: {{ .replicas | default 1 }}
{{- end }}
  strategy: {{ include "w2s.strategy" $root }}
  selector:
    matchLabels: {{- include "w2s.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "w2s.labels" . | nindent 8 }}
    spec: {{- include "w2s.pod" . | nindent 6 }}
{{- end }}
{{- if and $root.Values.podDisruptionBudget (or .autoscaled (gt (int (.replicas | default 1)) 1)) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $full }}
  labels: {{- include "w2s.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "w2s.selector" . | nindent 6 }}
{{- end }}
{{- end }}
