{{/* Labels that select the pods of .component: never changed. */}}
{{- define "titan-data.selector" -}}
app.kubernetes.io/name: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "titan-data.labels" -}}
{{ include "titan-data.selector" . }}
app.kubernetes.io/part-of: titan
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{- define "titan-data.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "titan-data.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Service and NetworkPolicy of .component on .port, for the stacks' pods. */}}
{{- define "titan-data.network" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "titan-data.labels" . | nindent 4 }}
spec:
  type: ClusterIP
  selector:
    {{- include "titan-data.selector" . | nindent 4 }}
  ports:
    - name: {{ .component }}
      port: {{ .port }}
      targetPort: {{ .component }}
      protocol: TCP
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "titan-data.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "titan-data.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        {{- range .root.Values.stackNamespaces }}
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: {{ . }}
        {{- end }}
      ports:
        - protocol: TCP
          port: {{ .component }}
{{- end }}

{{/* The image .given, or else that of the release by .name; by digest. */}}
{{- define "titan-data.image" -}}
{{- if .given -}}
{{ .given }}
{{- else -}}
{{ .root.Values.release.registry }}/{{ .name }}@{{ required (printf "%s.image: missing; allowed is a release's file (-f release.yaml) or an image by digest only, pinned in trustPolicy.infrastructure of chart titan first" .name) (index .root.Values.release.digests .name) }}
{{- end }}
{{- end }}

{{/* The volume's claim, which no uninstall deletes. */}}
{{- define "titan-data.claim" -}}
- metadata:
    name: data
  spec:
    accessModes: [ReadWriteOnce]
    resources:
      requests:
        storage: {{ . }}
{{- end }}
