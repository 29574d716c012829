{{- define "titan-stack.labels" -}}
app.kubernetes.io/part-of: titan
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* The policy of this chart that is asked for, as an object. */}}
{{- define "titan-stack.policy" -}}
{{- .Files.Get (printf "policies/%s.yaml" .Values.policy) }}
{{- end }}

{{/* The image of every phase by digest. */}}
{{- define "titan-stack.image" -}}
{{- if .Values.image -}}
{{ .Values.image }}
{{- else -}}
{{ .Values.release.registry }}/services@{{ required "image: missing; allowed is a release's file (-f release.yaml), or an image by digest only, like registry/titan@sha256:<64 hexadecimal digits>" .Values.release.digests.services }}
{{- end }}
{{- end }}

{{/* Name and hash that phases are bound to. */}}
{{- define "titan-stack.policyRef" -}}
{{- if .Values.existingPolicy.name -}}
name: {{ .Values.existingPolicy.name }}
hash: {{ required "existingPolicy.hash: missing; allowed is the spec.hash of the RiskPolicy that existingPolicy.name names" .Values.existingPolicy.hash }}
{{- else -}}
{{- $policy := include "titan-stack.policy" . | fromYaml -}}
name: {{ $policy.metadata.name }}
hash: {{ $policy.spec.hash }}
{{- end }}
{{- end }}
