{{- define "calculator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* Leaves room for the longest suffix within a DNS label of 63 characters. */}}
{{- define "calculator.fullname" -}}
{{- $name := include "calculator.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "calculator.version" -}}
{{- .Values.version | default .Chart.AppVersion -}}
{{- end -}}

{{- define "calculator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "calculator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "calculator.labels" -}}
{{ include "calculator.selectorLabels" . }}
app.kubernetes.io/version: {{ include "calculator.version" . | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/part-of: calculator
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "calculator.podSettings" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "calculator.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{- define "calculator.image" -}}
{{- $reference := index .root.Values.images .component -}}
image: {{ required (printf "set images.%s to a full image reference, e.g. registry.example.com/calculator/%s@sha256:…" .component .component) $reference | quote }}
imagePullPolicy: {{ .root.Values.imagePullPolicy }}
{{- end -}}

{{/* What both services are told: who they are, how to stop, and what to break. Takes root and component. */}}
{{- define "calculator.env" -}}
{{- $faults := .root.Values.faults -}}
- name: VERSION
  value: {{ include "calculator.version" .root | quote }}
- name: SLOT
  value: {{ .root.Values.slot | default .root.Release.Name | quote }}
- name: SAY_VERSION
  value: {{ $faults.sayVersion | quote }}
- name: DRAIN_DELAY
  value: {{ .root.Values.shutdown.drainDelay | quote }}
- name: SHUTDOWN_GRACE
  value: {{ .root.Values.shutdown.grace | quote }}
{{- if eq .component "backend" }}
{{- if $faults.wrongBody }}
- name: FAULT_WRONG_BODY
  value: "true"
{{- end }}
{{- if $faults.bugAt19 }}
- name: FAULT_BUG_AT_19
  value: "true"
{{- end }}
{{- end }}
{{- if eq .component $faults.component }}
{{- if $faults.failureRate }}
- name: FAULT_FAILURE_RATE
  value: {{ $faults.failureRate | quote }}
{{- end }}
{{- if $faults.delay }}
- name: FAULT_DELAY
  value: {{ $faults.delay | quote }}
- name: FAULT_DELAY_RATE
  value: {{ $faults.delayRate | quote }}
{{- end }}
{{- if $faults.crash }}
- name: FAULT_CRASH
  value: {{ $faults.crash | quote }}
{{- end }}
{{- if $faults.neverReady }}
- name: FAULT_NEVER_READY
  value: "true"
{{- end }}
{{- if $faults.memory }}
- name: FAULT_MEMORY
  value: {{ $faults.memory | int | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The variables that both services take from a Secret, where there is one: BACKEND_TOKEN. */}}
{{- define "calculator.secret" -}}
{{- with .Values.config.secretName }}
envFrom:
  - secretRef: {name: {{ . | quote }}}
{{- end }}
{{- end -}}

{{/* The probes of both services. Liveness is slow to kill: a busy node is no reason to restart. */}}
{{- define "calculator.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 3
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 6
{{- end -}}
