{{- define "access-mesh.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* A StatefulSet puts its name and a hash of ten into a label of 63: 38 + len("-biometric-svc") + 11. */}}
{{- define "access-mesh.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $both := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $both | trunc 38 | trimSuffix "-" -}}
{{- end -}}

{{/*
The four services as JSON: the facts of files/mesh.json under the settings of
values, with the names of all that belongs to one. Every template walks these.
*/}}
{{- define "access-mesh.members" -}}
{{- $root := . -}}
{{- $fullname := include "access-mesh.fullname" . -}}
{{- $mesh := .Files.Get "files/mesh.json" | fromJson -}}
{{- $members := dict -}}
{{- range $name, $facts := $mesh -}}
  {{- $values := index $root.Values.services $name -}}
  {{- $own := printf "%s-%s" $fullname $name -}}
  {{- $peers := list -}}
  {{- range $peer, $its := $mesh -}}
    {{- if has (printf "svc/%s" $name) $its.callers -}}
      {{- $peers = append $peers (dict "name" $peer "fullname" (printf "%s-%s" $fullname $peer) "grpcPort" $its.grpcPort) -}}
    {{- end -}}
  {{- end -}}
  {{- $member := dict
        "name" $name
        "fullname" $own
        "peers" $peers
        "tlsSecret" ($values.tls.existingSecret | default (printf "%s-tls" $own))
  -}}
  {{- if $facts.stores -}}
    {{- $postgres := or $values.database.url $values.database.existingSecret -}}
    {{- $_ := set $member "keyringSecret" ($values.keyring.existingSecret | default (printf "%s-keyring" $own)) -}}
    {{- $_ := set $member "postgres" (not (empty $postgres)) -}}
    {{- $_ := set $member "sqlite" (empty $postgres) -}}
    {{- $claims := list -}}
    {{- if empty $postgres -}}
      {{- $claims = append $claims (merge (dict "name" "data" "claim" $own "path" "/var/lib/propdev") $values.persistence) -}}
    {{- end -}}
    {{- $claims = append $claims (merge (dict "name" "backups" "claim" (printf "%s-backups" $own) "path" "/var/lib/propdev-backups") $values.backup) -}}
    {{- if $facts.erases -}}
      {{- $claims = append $claims (merge (dict "name" "ledger" "claim" (printf "%s-ledger" $own) "path" "/var/lib/propdev-ledger") $values.ledger) -}}
    {{- end -}}
    {{- $_ := set $member "claims" $claims -}}
  {{- end -}}
  {{- if $facts.publicPort -}}
    {{- $_ := set $member "publicSecret" ($values.public.existingSecret | default (printf "%s-public-tls" $own)) -}}
  {{- end -}}
  {{- $_ := set $members $name (mergeOverwrite (deepCopy $facts) (deepCopy $values) $member) -}}
{{- end -}}
{{- toJson $members -}}
{{- end -}}

{{- define "access-mesh.selector" -}}
app.kubernetes.io/name: {{ include "access-mesh.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of what belongs to the mesh as a whole. */}}
{{- define "access-mesh.labels" -}}
{{ include "access-mesh.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: access-mesh
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Metadata of what belongs to one service; takes (list $ $member). */}}
{{- define "access-mesh.metadata" -}}
{{- $root := index . 0 -}}
{{- $member := index . 1 -}}
name: {{ $member.fullname }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "access-mesh.labels" $root | nindent 2 }}
  app.kubernetes.io/component: {{ $member.name }}
{{- end -}}

{{- define "access-mesh.memberSelector" -}}
{{- $root := index . 0 -}}
{{ include "access-mesh.selector" $root }}
app.kubernetes.io/component: {{ (index . 1).name }}
{{- end -}}
