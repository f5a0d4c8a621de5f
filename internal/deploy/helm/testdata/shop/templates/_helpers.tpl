{{- define "shop.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride }}
{{- else if contains .Chart.Name .Release.Name }}{{ .Release.Name }}
{{- else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
{{- end -}}
{{- define "shop.selector" -}}
app.kubernetes.io/name: shop
{{- if not .Values.fixedSelector }}
app.kubernetes.io/instance: {{ default .Release.Name .Values.instance }}
{{- end }}
{{- end -}}
