{{/* Labels of every object. */}}
{{- define "titan-admission.labels" -}}
app.kubernetes.io/name: titan-admission
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* The operator as the API server names it. */}}
{{- define "titan-admission.operator" -}}
system:serviceaccount:{{ .Values.operator.namespace }}:{{ .Values.operator.serviceAccount }}
{{- end }}

{{/* CEL: a list of strings. */}}
{{- define "titan-admission.list" -}}
[{{ range $index, $item := . }}{{ if $index }}, {{ end }}'{{ $item }}'{{ end }}]
{{- end }}

{{/* JSON: digests that may run in the operator's namespace. */}}
{{- define "titan-admission.operatorDigests" -}}
{{- $digests := .Values.operator.imageDigests }}
{{- with .Values.release.digests.operator }}{{ $digests = append $digests . }}{{ end }}
{{- uniq $digests | toJson }}
{{- end }}

{{/* CEL: users that the cluster's controllers named in .controllers go by. */}}
{{- define "titan-admission.controllers" -}}
{{- $users := list "system:kube-controller-manager" }}
{{- range .controllers }}{{ $users = append $users (printf "system:serviceaccount:kube-system:%s" .) }}{{ end }}
{{- include "titan-admission.list" (concat $users .root.Values.extraControllers) }}
{{- end }}

{{/* CEL: whether the user has the custom verb .verb in the namespace that is asked about. */}}
{{- define "titan-admission.may" -}}
authorizer.group('titan.trading').resource('riskpolicies').namespace(request.namespace).check('{{ . }}').allowed()
{{- end }}

{{/* Binding by the namespace's name: the API server itself keeps that label, and no update removes it. */}}
{{- define "titan-admission.binding" -}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .policy }}
  labels:
    {{- include "titan-admission.labels" .root | nindent 4 }}
spec:
  policyName: {{ .policy }}
  validationActions: [Deny]
  {{- with .params }}
  paramRef:
    name: {{ . }}
    parameterNotFoundAction: Deny
  {{- end }}
  {{- if .namespaces }}
  matchResources:
    namespaceSelector:
      matchExpressions:
        - key: kubernetes.io/metadata.name
          operator: {{ .operator | default "In" }}
          values: {{ .namespaces | toJson }}
  {{- end }}
{{- end }}

{{/* Everything that runs containers, and where a pod's containers can be changed later. */}}
{{- define "titan-admission.workloads" -}}
- apiGroups: [""]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE]
  resources: [pods, pods/ephemeralcontainers, replicationcontrollers, podtemplates]
- apiGroups: [apps]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE]
  resources: [deployments, statefulsets, daemonsets, replicasets]
- apiGroups: [batch]
  apiVersions: ["*"]
  operations: [CREATE, UPDATE]
  resources: [jobs, cronjobs]
{{- end }}

{{/* CEL: the pod's spec within .object (object or oldObject). */}}
{{- define "titan-admission.podSpec" -}}
request.kind.kind == 'Pod' ? dyn({{ . }}).spec
: request.kind.kind == 'CronJob' ? dyn({{ . }}).spec.jobTemplate.spec.template.spec
: request.kind.kind == 'PodTemplate' ? dyn({{ . }}).template.spec
: dyn({{ . }}).spec.template.spec
{{- end }}

{{/* CEL: every image reference of the pod spec in the variable named by the argument. */}}
{{- define "titan-admission.imagesOf" -}}
({{ . }}.?containers.orValue([]) + {{ . }}.?initContainers.orValue([]) + {{ . }}.?ephemeralContainers.orValue([]))
.map(container, string(container.?image.orValue('')))
+ {{ . }}.?volumes.orValue([]).filter(volume, has(volume.image)).map(volume, string(volume.image.?reference.orValue('')))
{{- end }}

{{/* A policy that lets only images of .listed (CEL) run; .params: listed reads VerifiedImages. */}}
{{- define "titan-admission.images" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ .policy }}
  labels:
    {{- include "titan-admission.labels" .root | nindent 4 }}
spec:
  failurePolicy: Fail
  {{- if .params }}
  paramKind:
    apiVersion: titan.trading/v1alpha1
    kind: VerifiedImages
  {{- end }}
  matchConstraints:
    resourceRules:
      {{- include "titan-admission.workloads" . | nindent 6 }}
  variables:
    - name: pod
      expression: >-
        {{- include "titan-admission.podSpec" "object" | nindent 8 }}
    - name: images
      expression: >-
        {{- include "titan-admission.imagesOf" "variables.pod" | nindent 8 }}
    # What runs already goes on: after a revocation a Job must still be finished and a namespace cleaned up.
    - name: podBefore
      expression: >-
        request.operation != 'UPDATE' ? dyn({}) : (
        {{- include "titan-admission.podSpec" "oldObject" | nindent 8 }})
    - name: imagesBefore
      expression: >-
        {{- include "titan-admission.imagesOf" "variables.podBefore" | nindent 8 }}
    - name: listed
      expression: >-
        {{ .listed }}
    - name: refused
      expression: >-
        variables.images.filter(image, !(image in variables.imagesBefore)
        && !(image.matches('^[^@]+@sha256:[0-9a-f]{64}$') && image.substring(image.indexOf('@') + 1) in variables.listed))
  validations:
    - expression: size(variables.refused) == 0
      reason: Forbidden
      message: an image is not listed
      messageExpression: >-
        'image ' + (variables.refused[0] == '' ? '(none)' : variables.refused[0]) + {{ .problem | squote }}
{{- end }}
