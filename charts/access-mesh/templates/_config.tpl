{{/* A service's TOML; takes (list $ $member). */}}
{{- define "access-mesh.config" -}}
{{- $root := index . 0 -}}
{{- $member := index . 1 -}}
{{- $values := $root.Values -}}
[server]
listen = "0.0.0.0:{{ $member.grpcPort }}"

[admin]
listen = "0.0.0.0:{{ $member.adminPort }}"

[tls]
certificate = "/etc/propdev/tls/tls.crt"
private_key = "/etc/propdev/tls/tls.key"
trust_bundle = "/etc/propdev/tls/ca.crt"
trust_domain = {{ $values.trustDomain | toJson }}

[telemetry]
log_format = {{ $values.telemetry.logFormat | toJson }}
log_filter = {{ $values.telemetry.logFilter | toJson }}
{{- with $values.telemetry.otlpEndpoint }}
otlp_endpoint = {{ toJson . }}
{{- end }}
{{- if $member.publicPort }}

[public]
listen = "0.0.0.0:{{ $member.publicPort }}"
certificate = "/etc/propdev/public/tls.crt"
private_key = "/etc/propdev/public/tls.key"
base_url = {{ $values.publicUrl | toJson }}
{{- end }}
{{- if $member.stores }}

[database]
{{- if $member.database.existingSecret }}
# url: PROPDEV_DATABASE__URL, from the Secret {{ $member.database.existingSecret }}.
{{- else }}
url = {{ $member.database.url | default (printf "sqlite:///var/lib/propdev/%s.db" $member.name) | toJson }}
{{- end }}

[keyring]
path = "/etc/propdev/keyring/keyring.json"
# fsGroup makes every mounted Secret readable by the group.
allow_group_read = true
# A mounted Secret is changed by its operator.
managed = false

[residency]
region = {{ $values.residency.region | toJson }}
{{- $deployment := printf "%s.%s" $root.Release.Namespace (include "access-mesh.fullname" $root) }}
deployment = {{ $values.residency.deployment | default (trunc 100 $deployment) | toJson }}

[backup]
folder = "/var/lib/propdev-backups"
{{- end }}
{{- if $member.erases }}

[erasure]
ledger = "/var/lib/propdev-ledger/{{ $member.name }}.jsonl"
{{- if $member.ledger.copyClaim }}
copies = ["/var/lib/propdev-ledger-copy"]
{{- end }}

[erasure.act]
{{- with $values.erasure }}
{{- if .operator.name }}
operator = { name = {{ toJson .operator.name }}, address = {{ toJson .operator.address }} }
{{- end }}
{{- if .processor.name }}
processor = { name = {{ toJson .processor.name }}, address = {{ toJson .processor.address }} }
{{- end }}
{{- if .destroyedBy.name }}
destroyed_by = { name = {{ toJson .destroyedBy.name }}, post = {{ toJson .destroyedBy.post }} }
{{- end }}
{{- with .informationSystem }}
information_system = {{ toJson . }}
{{- end }}
{{- end }}
{{- end }}
{{- with $member.audit }}

[audit]
{{- with .origin }}
origin = {{ toJson . }}
{{- end }}
{{- if .checkpointClaim }}
folders = ["/var/lib/propdev-checkpoints"]
{{- end }}
publish_every_s = {{ int .publishEverySeconds }}
keep_days = {{ int .keepDays }}
strangers_keep_days = {{ int .strangersKeepDays }}
{{- range $index, $witness := .witnesses }}

[[audit.witnesses]]
url = {{ $witness.url | toJson }}
{{- if $witness.caSecret }}
ca = "/etc/propdev/witnesses/{{ $index }}.crt"
{{- end }}
{{- end }}
{{- end }}
{{- range $member.models }}

[[models]]
name = {{ .name | toJson }}
version = {{ .version | toJson }}
dimension = {{ .dimension }}
threshold = {{ printf "%g" (float64 .threshold) }}
margin = {{ printf "%g" (float64 .margin) }}
{{- with .false_match_bound }}
false_match_bound = {{ printf "%g" (float64 .) }}
{{- end }}
{{- end }}
{{- if $member.tokens }}

[tokens]
issuer = {{ $values.publicUrl | toJson }}
audience = {{ $values.tokens.audience | default $values.publicUrl | toJson }}

[limits]
replicas = {{ max 1 $member.replicas }}
{{- end }}
{{- range $member.peers }}

[peers.{{ .name }}]
endpoint = "https://{{ .fullname }}:{{ .grpcPort }}"
{{- end }}
{{ end -}}
