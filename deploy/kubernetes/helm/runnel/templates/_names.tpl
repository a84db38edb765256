{{/* The release's name is the cluster's: helm install NAME. */}}
{{- define "runnel.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "runnel.peers" -}}
{{ include "runnel.name" . }}-peers
{{- end }}

{{- define "runnel.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What the selectors select by: it never changes. */}}
{{- define "runnel.selector" -}}
app.kubernetes.io/name: runnel
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The gossip addresses of the founders, the same list for every broker. */}}
{{- define "runnel.seeds" -}}
{{- range $i := until (int (min .Values.replicas .Values.founders)) }}
- {{ include "runnel.name" $ }}-{{ $i }}.{{ include "runnel.peers" $ }}.{{ $.Release.Namespace }}.svc.{{ $.Values.clusterDomain }}:7072
{{- end }}
{{- end }}

{{- define "runnel.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
