{{/* YAML of a value. toYaml would write large numbers, which JSON has made floats, as 1.34217728e+08. */}}
{{- define "runnel.yaml" -}}
{{- if kindIs "map" . }}
{{- range $key := keys . | sortAlpha }}
{{- $value := get $ $key }}
{{- if and (or (kindIs "map" $value) (kindIs "slice" $value)) (not (empty $value)) }}
{{ quote $key }}:
{{- include "runnel.yaml" $value | trim | nindent 2 }}
{{- else }}
{{ quote $key }}: {{ include "runnel.scalar" $value }}
{{- end }}
{{- end }}
{{- else }}
{{- range . }}
- {{ include "runnel.scalar" . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "runnel.scalar" -}}
{{- if kindIs "float64" . }}
{{- ternary (printf "%.0f" .) (toString .) (eq . (floor .)) }}
{{- else if kindIs "string" . }}
{{- . | quote }}
{{- else if empty . }}
{{- ternary "false" (ternary "{}" (ternary "[]" "" (kindIs "slice" .)) (kindIs "map" .)) (kindIs "bool" .) }}
{{- else }}
{{- . }}
{{- end }}
{{- end }}

{{/* What the chart makes of its values, below what values.config says. JSON. */}}
{{- define "runnel.derived" -}}
{{- $v := .Values }}
{{- $c := dict "log" (dict "format" "json") }}
{{- $metastore := dict }}
{{- with $v.metastore.url }}{{ $_ := set $metastore "url" . }}{{ end }}
{{- if $v.metastore.passwordSecret.name }}{{ $_ := set $metastore "password_file" "/etc/runnel/metastore/password" }}{{ end }}
{{- $objects := dict }}
{{- with $v.objectStore.url }}{{ $_ := set $objects "url" . }}{{ end }}
{{- with $v.objectStore.region }}{{ $_ := set $objects "region" . }}{{ end }}
{{- with $v.objectStore.endpoint }}{{ $_ := set $objects "endpoint" . }}{{ end }}
{{- if $v.objectStore.credentialsSecret.name }}{{ $_ := set $objects "secret_key_file" "/etc/runnel/object-store/secret_key" }}{{ end }}
{{- $peer := dict }}
{{- if $v.peer.certificateSecret }}
{{- $peer = dict "certificate" "/etc/runnel/peer/tls.crt" "key" "/etc/runnel/peer/tls.key" "authority" "/etc/runnel/peer/ca.crt" }}
{{- else if $v.peer.secret.name }}
{{- $peer = dict "secret_file" "/etc/runnel/peer/secret" }}
{{- end }}
{{- $_ := set $peer "listen" (printf ":%d" (int64 $v.peer.port)) }}
{{- $admin := dict "listen" (printf ":%d" (int64 $v.admin.port)) "open_metrics" $v.admin.openMetrics }}
{{- if $v.admin.tokenSecret.name }}{{ $_ := set $admin "token_file" "/etc/runnel/admin/token" }}{{ end }}
{{- if $v.admin.tlsSecret }}
{{- $_ := set $admin "certificate" "/etc/runnel/admin-tls/tls.crt" }}
{{- $_ := set $admin "key" "/etc/runnel/admin-tls/tls.key" }}
{{- end }}
{{- if $v.tls.secret }}
{{- $tls := dict "certificate" "/etc/runnel/tls/tls.crt" "key" "/etc/runnel/tls/tls.key" }}
{{- if include "runnel.hasClientAuth" . }}
{{- $_ := set $tls "client_authority" (ternary "/etc/runnel/clients/ca.crt" "/etc/runnel/tls/ca.crt" (ne $v.tls.clientAuthoritySecret.name "")) }}
{{- end }}
{{- $_ := set $c "tls" $tls }}
{{- end }}
{{- if $v.auth.bootstrapUser }}
{{- $_ := set $c "auth" (dict "bootstrap_user" $v.auth.bootstrapUser "bootstrap_password_file" "/etc/runnel/bootstrap/password") }}
{{- end }}
{{- $mebibytes := include "runnel.memory" . | int64 }}
{{- if and $v.memory.derive (gt $mebibytes 0) }}
{{- $_ := set $c "memory" (dict "produce" (printf "%dMiB" (div $mebibytes 5)) "cache" (printf "%dMiB" (div $mebibytes 4))) }}
{{- $_ := set $c "compaction" (dict "memory" (printf "%dMiB" (min 192 (div $mebibytes 16)))) }}
{{- end }}
{{- $_ := set $c "metastore" $metastore }}
{{- $_ := set $c "object_store" $objects }}
{{- $_ := set $c "peer" $peer }}
{{- $_ := set $c "admin" $admin }}
{{- toJson $c }}
{{- end }}

{{/* The configuration without listeners, which have an order. JSON. Helm reads on and off as booleans. */}}
{{- define "runnel.merged" -}}
{{- $c := mergeOverwrite (include "runnel.derived" . | fromJson) (deepCopy .Values.config) }}
{{- if kindIs "bool" $c.authorizer }}
{{- $_ := set $c "authorizer" (ternary "on" "off" $c.authorizer) }}
{{- end }}
{{- toJson $c }}
{{- end }}

{{/* runnel.yaml, as the ConfigMap has it. */}}
{{- define "runnel.config" -}}
version: 1
listeners:
{{- range $name := keys .Values.listeners | sortAlpha }}
{{- include "runnel.listener" (dict "name" $name "listener" (get $.Values.listeners $name)) | nindent 2 }}
{{- end }}
{{- if .Values.external.enabled }}
{{- include "runnel.listener" (dict "name" "external" "listener" .Values.external) | nindent 2 }}
{{- end }}
{{- include "runnel.yaml" (include "runnel.merged" . | fromJson) | trim | nindent 0 }}
{{- end }}

{{- define "runnel.listener" -}}
{{- $l := .listener -}}
{{ quote .name }}:
  listen: {{ printf ":%d" (int64 $l.port) | quote }}
  protocol: {{ $l.protocol }}
  {{- with $l.clientAuth }}
  client_auth: {{ . }}
  {{- end }}
  {{- with $l.maxConnections }}
  max_connections: {{ int64 . }}
  {{- end }}
{{- end }}

{{/* Where a listener is reached inside of the cluster. */}}
{{- define "runnel.advertised" -}}
{{- $l := .listener }}
{{- if $l.advertise }}
{{- $l.advertise }}
{{- else if hasSuffix "SSL" $l.protocol }}
{{- printf "%s:%d" (include "runnel.brokerHost" .top) (int64 $l.port) }}
{{- else }}
{{- printf (ternary "[$(POD_IP)]:%d" "$(POD_IP):%d" .top.Values.ipv6) (int64 $l.port) }}
{{- end }}
{{- end }}
