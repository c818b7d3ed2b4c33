{{/* Refuses what a schema cannot see, each with what to do. */}}
{{- define "runnel.validate" -}}
{{- $v := .Values }}
{{- $c := $v.config }}
{{- include "runnel.validateKeys" (dict "section" $c "path" "") }}
{{- $metastore := default dict $c.metastore }}
{{- $objects := default dict $c.object_store }}
{{- $most := include "runnel.mostBrokers" . | int64 }}

{{- if not (or $v.metastore.url $v.metastore.urlSecret.name $metastore.url) }}
{{- fail "metastore.url is required: postgres://USER@HOST/DATABASE, the password in metastore.passwordSecret; or metastore.urlSecret" }}
{{- end }}
{{- if and $v.metastore.urlSecret.name (or $v.metastore.url $metastore.url) }}
{{- fail "metastore.url and metastore.urlSecret are two ways to name the database; set one of them" }}
{{- end }}
{{- if not (or $v.objectStore.url $objects.url) }}
{{- fail "objectStore.url is required: s3://BUCKET/PREFIX" }}
{{- end }}
{{- if and (gt $most 1) (not $v.peer.secret.name) (not $v.peer.certificateSecret) }}
{{- fail (printf "peer.secret.name is required with more than one broker: kubectl --namespace %s create secret generic %s-peer --from-literal=%s=\"$(openssl rand -hex 24)\", then --set peer.secret.name=%s-peer; or peer.certificateSecret" .Release.Namespace (include "runnel.fullname" .) $v.peer.secret.key (include "runnel.fullname" .)) }}
{{- end }}
{{- if and $v.peer.secret.name $v.peer.certificateSecret }}
{{- fail "peer.secret and peer.certificateSecret are two ways to authenticate brokers; set one of them" }}
{{- end }}
{{- if and (eq $v.zone.from "name") (not $v.zone.name) }}
{{- fail "zone.from is name: zone.name is required" }}
{{- end }}

{{- if and $v.migration.passwordSecret.name (not $v.migration.url) }}
{{- fail "migration.passwordSecret is that of migration.url, which is not set" }}
{{- end }}
{{- include "runnel.validateSecrets" . }}

{{- range $key := list "listeners" "listen" "advertise" "protocol" "version" "node_id" "zone" }}
{{- if hasKey $c $key }}
{{- fail (printf "config.%s is made by the chart: use listeners, external and zone of the values" $key) }}
{{- end }}
{{- end }}

{{- range $path, $value := dict "admin.listen" "admin.port" "peer.listen" "peer.port" "peer.advertise" "peer.port" "migrate" "migrate" }}
{{- $words := splitList "." $path }}
{{- $section := ternary $c (default dict (get $c (first $words))) (eq (len $words) 1) }}
{{- if hasKey $section (last $words) }}
{{- fail (printf "config.%s is made by the chart, which tells pods, probes and Services the same: use %s of the values" $path $value) }}
{{- end }}
{{- end }}
{{- if and (hasKey (default dict $c.admin) "certificate") (not $v.admin.tlsSecret) }}
{{- fail "config.admin.certificate: probes and Prometheus would not know that they need TLS; use admin.tlsSecret of the values" }}
{{- end }}

{{- if and (include "runnel.hasTLS" .) (not $v.tls.secret) }}
{{- fail "a listener has TLS: tls.secret must name a Secret with tls.crt and tls.key" }}
{{- end }}
{{- if and $v.external.enabled (not $v.external.domain) }}
{{- fail "external.domain is required: brokers tell clients POD.domain, such as runnel-0.kafka.example.com" }}
{{- end }}
{{- if and $v.auth.bootstrapUser (not $v.auth.bootstrapPasswordSecret.name) }}
{{- fail "auth.bootstrapPasswordSecret.name is required with auth.bootstrapUser" }}
{{- end }}
{{- $ports := list (int64 $v.peer.port) (int64 $v.admin.port) }}
{{- if $v.external.enabled }}{{ $ports = append $ports (int64 $v.external.port) }}{{ end }}
{{- range $name, $l := $v.listeners }}{{ $ports = append $ports (int64 $l.port) }}{{ end }}
{{- if ne (len $ports) (len (uniq $ports)) }}
{{- fail "two of the ports of listeners, external, peer and admin are the same" }}
{{- end }}

{{- $unsafe := default list $c.allow_unsafe }}
{{- if kindIs "string" $unsafe }}{{ $unsafe = splitList "," (nospace $unsafe) }}{{ end }}
{{- if and $v.admin.tokenSecret.name (not $v.admin.tlsSecret) (not (has "admin_token_without_tls" $unsafe)) }}
{{- fail "admin.tokenSecret without admin.tlsSecret sends the token in clear: set admin.tlsSecret, or config.allow_unsafe: [admin_token_without_tls]" }}
{{- end }}
{{- if $v.serviceMonitor.enabled }}
{{- if not (or $v.admin.openMetrics $v.admin.tokenSecret.name) }}
{{- fail "serviceMonitor.enabled: Prometheus sees metrics with admin.tokenSecret, or if admin.openMetrics is set" }}
{{- end }}
{{- if and $v.networkPolicy.enabled (not $v.networkPolicy.monitoring) }}
{{- fail "serviceMonitor.enabled: networkPolicy.monitoring must let Prometheus in, such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]" }}
{{- end }}
{{- end }}
{{- if and $v.autoscaling.enabled (gt (int64 $v.autoscaling.minReplicas) (int64 $v.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas must not be above autoscaling.maxReplicas" }}
{{- end }}
{{- $mebibytes := include "runnel.memory" . | int64 }}
{{- if and $v.memory.derive (gt $mebibytes 0) (lt $mebibytes 1024) }}
{{- fail (printf "resources: %d MiB of memory are too little for what a broker needs beside its budgets: give it 1Gi, or set memory.derive to false and memory.produce, memory.cache and compaction.memory in config" $mebibytes) }}
{{- end }}
{{- end }}

{{/* Refuses keys of config that are not as docs/config.md nests and writes them. A broker takes metastore.password as one key,
     too, and what looks for secrets here, or lays the chart's own keys below, would not see it. Settings of the cluster have
     Kafka's names, with dots. */}}
{{- define "runnel.validateKeys" -}}
{{- $path := .path }}
{{- range $key, $value := .section }}
{{- if contains "." $key }}
{{- $words := splitList "." $key }}
{{- fail (printf "config.%s%s: a key with a dot is refused; nest it: %s: {%s: ...}" $path $key (first $words) (rest $words | join ".")) }}
{{- end }}
{{- if not (regexMatch "^[a-z][a-z0-9_]*$" $key) }}
{{- fail (printf "config.%s%s: keys are lower-case words, such as metastore or password_file; docs/config.md lists them" $path $key) }}
{{- end }}
{{- if eq (print $path $key) "cluster" }}
{{- range $name, $_ := $value }}
{{- if not (regexMatch "^[a-z][a-z0-9._-]*$" $name) }}
{{- fail (printf "config.cluster: %q is no setting of Kafka's, whose names are like num.partitions" $name) }}
{{- end }}
{{- end }}
{{- else if kindIs "map" $value }}
{{- include "runnel.validateKeys" (dict "section" $value "path" (print $path $key ".")) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Refuses secrets in what becomes a ConfigMap. */}}
{{- define "runnel.validateSecrets" -}}
{{- $c := .Values.config }}
{{- range $path := list "metastore.password" "object_store.secret_key" "admin.token" "peer.secret" "auth.bootstrap_password" }}
{{- $section := index (splitList "." $path) 0 }}
{{- $key := index (splitList "." $path) 1 }}
{{- if hasKey (default dict (get $c $section)) $key }}
{{- fail (printf "config.%s: secrets do not belong into a ConfigMap; name a Secret in the values, or mount a file and set %s_file" $path $path) }}
{{- end }}
{{- end }}
{{- range $url := list .Values.metastore.url .Values.migration.url (default dict $c.metastore).url }}
{{- if $url }}
{{- if or (regexMatch "^[a-z]+://[^/?@]*:[^/?]*@" $url) (regexMatch "[?&](ssl)?password=" $url) }}
{{- fail "metastore.url or migration.url has a password, which does not belong there: use passwordSecret, or metastore.urlSecret" }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
