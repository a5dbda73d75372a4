{{/* Both take (list CONTEXT COMPONENT). */}}
{{- define "kubetuna.selector" -}}
app.kubernetes.io/name: kubetuna
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}
{{- define "kubetuna.labels" -}}
{{ include "kubetuna.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
{{- end }}
{{/* Takes (list CONTEXT IMAGE); a digest wins over a tag, the chart's version stands for an empty one. */}}
{{- define "kubetuna.image" -}}
{{- $context := index . 0 }}{{ $image := index . 1 -}}
{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $context.Chart.AppVersion }}{{ end }}
{{- end }}
{{/* What every Pod of ours is allowed: Pod Security "restricted". */}}
{{- define "kubetuna.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
{{/* Takes a user's number. */}}
{{- define "kubetuna.user" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
seccompProfile: {type: RuntimeDefault}
{{- end }}
{{/* Where the Pods of the operator and the dashboard may run. */}}
{{- define "kubetuna.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- define "kubetuna.database" -}}
{{ .Values.database.existingSecret | default "kubetuna-database" }}
{{- end }}
{{- define "kubetuna.namespaces" -}}
{{- if not .Values.watchAll }}{{ join "," (.Values.watchNamespaces | default (list .Release.Namespace)) }}{{ end }}
{{- end }}
{{- define "kubetuna.rules" -}}
- apiGroups: [kubetuna.dev]
  resources: [experiments]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [kubetuna.dev]
  resources: [experiments/status]
  verbs: [get, patch]
- apiGroups: [kubetuna.dev]
  resources: [experiments/finalizers]
  verbs: [update]
- apiGroups: [kubetuna.dev]
  resources: [trials]
  verbs: [get, list, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [get, list, create, patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, create, delete]
- apiGroups: [resource.k8s.io]
  resources: [resourceclaimtemplates]
  verbs: [get]
{{- if .Values.katib.enabled }}
- apiGroups: [kubeflow.org]
  resources: [experiments]
  verbs: [get, list, watch]
- apiGroups: [kubeflow.org]
  resources: [experiments/status]
  verbs: [get, patch]
- apiGroups: [kubeflow.org]
  resources: [trials]
  verbs: [get, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
- apiGroups: [kubetuna.dev]
  resources: [experiments]
  verbs: [create]
- apiGroups: [kubetuna.dev]
  resources: [trials]
  verbs: [watch]
{{- end }}
{{- $groups := include "kubetuna.workloads" . | fromYaml }}
{{- range .Values.workloads }}
- apiGroups: [{{ get $groups . | default (regexReplaceAll "^[^.]*[.]" . "") }}]
  resources: [{{ regexFind "^[^.]*" . }}]
  verbs: [get, create, delete{{ if eq (regexFind "^[^.]*" .) "trainjobs" }}, patch{{ end }}]
{{- end }}
{{- if and (has "trainjobs" .Values.workloads) (not (has "jobsets" .Values.workloads)) }}
# What a TrainJob has made and leaves.
- apiGroups: [jobset.x-k8s.io]
  resources: [jobsets]
  verbs: [get, delete]
{{- end }}
{{- end }}
{{/* The kinds of workload that kubetuna knows, each with its group; of others the value names it: PLURAL.GROUP. */}}
{{- define "kubetuna.workloads" -}}
jobsets: jobset.x-k8s.io
pytorchjobs: kubeflow.org
tfjobs: kubeflow.org
mpijobs: kubeflow.org
xgboostjobs: kubeflow.org
rayjobs: ray.io
trainjobs: trainer.kubeflow.org
{{- end }}
