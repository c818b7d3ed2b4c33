{{/* MiB of a quantity of memory such as 2Gi, 1500M, 1.5Gi or 2147483648. */}}
{{- define "runnel.mebibytes" -}}
{{- $quantity := toString . }}
{{- if kindIs "float64" . }}{{ $quantity = printf "%.0f" . }}{{ end }}
{{- $number := regexFind "^[0-9]+(\\.[0-9]+)?" $quantity }}
{{- $unit := trimPrefix $number $quantity }}
{{- $units := dict "" 1.0 "k" 1e3 "Ki" 1024.0 "M" 1e6 "Mi" 1048576.0 "G" 1e9 "Gi" 1073741824.0 "T" 1e12 "Ti" 1099511627776.0 }}
{{- if or (eq $number "") (not (hasKey $units $unit)) }}
{{- fail (printf "resources: memory %q is not a quantity such as 2Gi" $quantity) }}
{{- end }}
{{- divf (mulf (float64 $number) (get $units $unit)) 1048576.0 | floor | int64 }}
{{- end }}

{{/* MiB that a broker may take: its limit, or else what it requests. 0: nobody has said. */}}
{{- define "runnel.memory" -}}
{{- $limits := default dict .Values.resources.limits }}
{{- $requests := default dict .Values.resources.requests }}
{{- with (default $requests.memory $limits.memory) }}{{ include "runnel.mebibytes" . }}{{ else }}0{{ end }}
{{- end }}

{{/* Seconds of a time as Go writes it, such as 1m30s; rounded up. */}}
{{- define "runnel.seconds" -}}
{{- $seconds := 0.0 }}
{{- $text := toString . }}
{{- $units := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 }}
{{- $parts := regexFindAll "[0-9]+(\\.[0-9]+)?(ms|s|m|h)" $text -1 }}
{{- if ne (join "" $parts) $text }}
{{- fail (printf "config.drain.timeout: %q is not a time such as 30s" $text) }}
{{- end }}
{{- range $parts }}
{{- $number := regexFind "^[0-9.]+" . }}
{{- $seconds = addf $seconds (mulf (float64 $number) (get $units (trimPrefix $number .))) }}
{{- end }}
{{- ceil $seconds | int64 }}
{{- end }}

{{- define "runnel.drainSeconds" -}}
{{- $drain := default dict .Values.config.drain }}
{{- include "runnel.seconds" (default "30s" $drain.timeout) }}
{{- end }}

{{/* Seconds before a broker is told to end. The image has no sleep; Kubernetes has one from 1.30 on. */}}
{{- define "runnel.preStopSeconds" -}}
{{- ternary (int64 .Values.preStopSeconds) 0 (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) }}
{{- end }}

{{- define "runnel.graceSeconds" -}}
{{- $drain := include "runnel.drainSeconds" . | int64 }}
{{- $before := include "runnel.preStopSeconds" . | int64 }}
{{- $grace := .Values.terminationGracePeriodSeconds }}
{{- if kindIs "invalid" $grace }}
{{- add $before $drain 15 }}
{{- else }}
{{- if le (int64 $grace) (add $before $drain) }}
{{- fail (printf "terminationGracePeriodSeconds (%d) must be more than config.drain.timeout (%d s) and preStopSeconds (%d) together: a broker would be killed while it hands over" (int64 $grace) $drain $before) }}
{{- end }}
{{- int64 $grace }}
{{- end }}
{{- end }}
