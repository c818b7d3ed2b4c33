{{- define "runnel.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Short enough for suffixes, and for the ordinals and revisions that a StatefulSet's labels get. */}}
{{- define "runnel.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "runnel.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "runnel.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What selects brokers: immutable in a StatefulSet, so that nothing may come here that a new version changes. */}}
{{- define "runnel.selector" -}}
app.kubernetes.io/name: {{ include "runnel.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: broker
{{- end }}

{{- define "runnel.labels" -}}
app.kubernetes.io/name: {{ include "runnel.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "runnel.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{- define "runnel.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "runnel.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "runnel.headless" -}}
{{ include "runnel.fullname" . }}-brokers
{{- end }}

{{/* A broker's own name in the cluster's DNS; the kubelet puts the pod's name in. */}}
{{- define "runnel.brokerHost" -}}
$(POD_NAME).{{ include "runnel.headless" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{- define "runnel.bootstrapHost" -}}
{{ include "runnel.fullname" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{/* The first listener of clients inside: the one that docs, notes and tests mean. */}}
{{- define "runnel.firstListener" -}}
{{ keys .Values.listeners | sortAlpha | first }}
{{- end }}

{{/* How many brokers there may be. */}}
{{- define "runnel.mostBrokers" -}}
{{- if .Values.autoscaling.enabled -}}
{{ .Values.autoscaling.maxReplicas }}
{{- else -}}
{{ .Values.replicas }}
{{- end }}
{{- end }}

{{/* "true" if any listener has TLS. */}}
{{- define "runnel.hasTLS" -}}
{{- $all := list }}
{{- range .Values.listeners }}{{ $all = append $all .protocol }}{{ end }}
{{- if .Values.external.enabled }}{{ $all = append $all .Values.external.protocol }}{{ end }}
{{- range $all }}{{ if hasSuffix "SSL" . }}true{{ end }}{{ end }}
{{- end }}

{{/* "true" if any listener looks at clients' certificates. */}}
{{- define "runnel.hasClientAuth" -}}
{{- $all := list }}
{{- range .Values.listeners }}{{ $all = append $all .clientAuth }}{{ end }}
{{- if .Values.external.enabled }}{{ $all = append $all .Values.external.clientAuth }}{{ end }}
{{- range $all }}{{ if has . (list "requested" "required") }}true{{ end }}{{ end }}
{{- end }}

{{- define "runnel.adminScheme" -}}
{{ ternary "HTTPS" "HTTP" (ne .Values.admin.tlsSecret "") }}
{{- end }}
