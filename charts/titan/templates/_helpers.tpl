{{/* Labels that select the operator's pod: never changed. */}}
{{- define "titan.selector" -}}
app.kubernetes.io/name: titan-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "titan.labels" -}}
{{ include "titan.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: titan
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* The image by digest: nothing else is ever run. */}}
{{- define "titan.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.release.registry }}/operator@{{ required "image.digest: missing; allowed is a release's file (-f release.yaml) or a sha256:…, listed in chart titan-admission first" .Values.release.digests.operator }}
{{- end }}
{{- end }}

{{/* JSON: what data namespaces may run, by digest: the trust policy's own, and the release's. */}}
{{- define "titan.pinned" -}}
{{- $pinned := .Values.trustPolicy.infrastructure | default list }}
{{- $release := .Values.release }}
{{- range list "postgresql" "nats" }}
{{- $digest := index $release.digests . }}
{{- if $digest }}{{ $pinned = append $pinned (printf "%s/%s@%s" $release.registry . $digest) }}{{ end }}
{{- end }}
{{- uniq $pinned | toJson }}
{{- end }}

{{/* What a container may do: nothing but run. */}}
{{- define "titan.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "titan.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}
