{{- define "app.fullname" -}}
{{- if .Values.fixedNames -}}app{{- else if contains "app" .Release.Name -}}{{ .Release.Name }}{{- else -}}{{ .Release.Name }}-app{{- end -}}
{{- end -}}
{{- define "app.labels" -}}
app.kubernetes.io/name: app
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
