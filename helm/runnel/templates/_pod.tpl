{{/* Files of Secrets: name of the volume and directory, Secret and its keys; no keys are all. Directories and no single files,
     so that renewed certificates arrive. JSON. Those of the database, by one of its passwords: */}}
{{- define "runnel.databaseSecrets" -}}
{{- $m := .top.Values.metastore }}
{{- $sources := list }}
{{- with .password }}{{ if .name }}{{ $sources = append $sources (dict "secret" .name "key" .key "path" "password") }}{{ end }}{{ end }}
{{- with $m.caSecret }}{{ if .name }}{{ $sources = append $sources (dict "secret" .name "key" .key "path" "ca.crt") }}{{ end }}{{ end }}
{{- list (dict "name" "metastore" "sources" $sources) | toJson }}
{{- end }}

{{- define "runnel.secrets" -}}
{{- $v := .Values }}
{{- $all := include "runnel.databaseSecrets" (dict "top" . "password" $v.metastore.passwordSecret) | fromJsonArray }}
{{- with $v.objectStore.credentialsSecret }}{{ if .name }}
{{- $all = append $all (dict "name" "object-store" "sources" (list (dict "secret" .name "key" .secretKeyKey "path" "secret_key"))) }}
{{- end }}{{ end }}
{{- if $v.peer.certificateSecret }}
{{- $all = append $all (dict "name" "peer" "sources" (list (dict "secret" $v.peer.certificateSecret))) }}
{{- else if $v.peer.secret.name }}
{{- $all = append $all (dict "name" "peer" "sources" (list (dict "secret" $v.peer.secret.name "key" $v.peer.secret.key "path" "secret"))) }}
{{- end }}
{{- with $v.tls.secret }}{{ $all = append $all (dict "name" "tls" "sources" (list (dict "secret" .))) }}{{ end }}
{{- with $v.tls.clientAuthoritySecret }}{{ if .name }}
{{- $all = append $all (dict "name" "clients" "sources" (list (dict "secret" .name "key" .key "path" "ca.crt"))) }}
{{- end }}{{ end }}
{{- with $v.admin.tokenSecret }}{{ if .name }}
{{- $all = append $all (dict "name" "admin" "sources" (list (dict "secret" .name "key" .key "path" "token"))) }}
{{- end }}{{ end }}
{{- with $v.admin.tlsSecret }}{{ $all = append $all (dict "name" "admin-tls" "sources" (list (dict "secret" .))) }}{{ end }}
{{- if $v.auth.bootstrapUser }}
{{- with $v.auth.bootstrapPasswordSecret }}
{{- $all = append $all (dict "name" "bootstrap" "sources" (list (dict "secret" .name "key" .key "path" "password"))) }}
{{- end }}
{{- end }}
{{- toJson $all }}
{{- end }}

{{- define "runnel.secretVolumes" -}}
{{- range . }}
{{- if .sources }}
- name: {{ .name }}
  projected:
    defaultMode: 0440
    sources:
      {{- range .sources }}
      - secret:
          name: {{ .secret }}
          {{- if .key }}
          items:
            - {key: {{ quote .key }}, path: {{ .path }}}
          {{- end }}
      {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "runnel.secretMounts" -}}
{{- range . }}
{{- if .sources }}
- name: {{ .name }}
  mountPath: /etc/runnel/{{ .name }}
  readOnly: true
{{- end }}
{{- end }}
{{- end }}

{{/* What of the database does not stand in a file. */}}
{{- define "runnel.databaseEnv" -}}
{{- with .Values.metastore.urlSecret }}
{{- if .name }}
- name: RUNNEL_METASTORE_URL
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ quote .key }}}}
{{- end }}
{{- end }}
{{- end }}

{{/* What differs from pod to pod, and what the broker has no file for. */}}
{{- define "runnel.env" -}}
{{- $v := .Values -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
{{- if eq $v.zone.from "node" }}
- {name: RUNNEL_ZONE, value: auto}
{{- else if eq $v.zone.from "podLabel" }}
- name: RUNNEL_ZONE
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['topology.kubernetes.io/zone']"}}
{{- else if eq $v.zone.from "name" }}
- {name: RUNNEL_ZONE, value: {{ quote $v.zone.name }}}
{{- end }}
{{- range $name := keys $v.listeners | sortAlpha }}
- name: {{ include "runnel.listenerEnv" $name }}_ADVERTISE
  value: {{ include "runnel.advertised" (dict "listener" (get $v.listeners $name) "top" $) | quote }}
{{- end }}
{{- if $v.external.enabled }}
- name: RUNNEL_LISTENERS_EXTERNAL_ADVERTISE
  value: {{ printf "$(POD_NAME).%s:%d" $v.external.domain (int64 $v.external.port) | quote }}
{{- end }}
- name: RUNNEL_PEER_ADVERTISE
  value: {{ ternary (printf "%s:%d" (include "runnel.brokerHost" .) (int64 $v.peer.port)) (printf (ternary "[$(POD_IP)]:%d" "$(POD_IP):%d" $v.ipv6) (int64 $v.peer.port)) (ne $v.peer.certificateSecret "") | quote }}
{{- if eq $v.migrate "auto" }}
- {name: RUNNEL_MIGRATE, value: auto}
{{- end }}
{{- include "runnel.databaseEnv" . }}
{{- with $v.objectStore.credentialsSecret }}
{{- if .name }}
- name: RUNNEL_OBJECT_STORE_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ quote .accessKeyKey }}}}
{{- end }}
{{- end }}
{{- $mebibytes := include "runnel.memory" . | int64 }}
{{- if and $v.memory.derive (gt $mebibytes 0) }}
- {name: GOMEMLIMIT, value: {{ div (mul $mebibytes 9) 10 }}MiB}
{{- end }}
{{- with $v.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "runnel.listenerEnv" -}}
RUNNEL_LISTENERS_{{ . | upper | replace "-" "_" }}
{{- end }}

{{/* A probe of the admin server. */}}
{{- define "runnel.probe" -}}
httpGet: {path: {{ .path }}, port: admin, scheme: {{ include "runnel.adminScheme" .top }}}
{{ toYaml .settings }}
{{- end }}
