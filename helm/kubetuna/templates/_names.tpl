{{- define "kubetuna.labels" -}}
app.kubernetes.io/name: kubetuna
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
{{- define "kubetuna.selector" -}}
app.kubernetes.io/name: kubetuna
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}
{{- define "kubetuna.namespaces" -}}
{{- if not .Values.watchAll }}{{ join "," (.Values.watchNamespaces | default (list .Release.Namespace)) }}{{ end }}
{{- end }}
{{- define "kubetuna.rules" -}}
- apiGroups: [kubetuna.dev]
  resources: [experiments]
  verbs: [get, list, watch, patch]
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
{{- end }}
