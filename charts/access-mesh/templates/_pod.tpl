{{/* The pod of a service; takes (list $ $member). */}}
{{- define "access-mesh.podSpec" -}}
{{- $root := index . 0 -}}
{{- $member := index . 1 -}}
{{- $values := $root.Values -}}
serviceAccountName: {{ $member.fullname }}
automountServiceAccountToken: false
# Its variables would begin with the release's name: one called propdev would
# set keys that no configuration knows.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with $values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if gt (int $member.replicas) 1 }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    # Each rollout is spread on its own, not against the pods it replaces.
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "access-mesh.memberSelector" (list $root $member) | nindent 8 }}
  {{- end }}
{{- end }}
containers:
  - name: {{ $member.name }}
    {{- $tag := printf ":%s" ($values.image.tag | default $root.Chart.AppVersion) }}
    image: {{ $values.image.repository }}/{{ $member.name }}{{ $member.digest | empty | ternary $tag (printf "@%s" $member.digest) }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    command: [/usr/local/bin/{{ $member.name }}]
    args: [--config, /etc/propdev/config.toml]
    {{- $secret := and $member.stores $member.database.existingSecret }}
    {{- if or $secret $member.env }}
    env:
      {{- if $secret }}
      - name: PROPDEV_DATABASE__URL
        valueFrom:
          secretKeyRef:
            name: {{ $member.database.existingSecret }}
            key: {{ $member.database.existingSecretKey }}
      {{- end }}
      {{- range $name, $value := $member.env }}
      - name: {{ $name }}
        value: {{ $value | quote }}
      {{- end }}
    {{- end }}
    ports:
      - name: grpc
        containerPort: {{ $member.grpcPort }}
      {{- with $member.publicPort }}
      - name: https
        containerPort: {{ . }}
      {{- end }}
      - name: admin
        containerPort: {{ $member.adminPort }}
    # Up to two minutes: an index of a million faces is read and decrypted.
    startupProbe:
      httpGet: {path: /livez, port: admin}
      periodSeconds: 2
      failureThreshold: 60
    livenessProbe:
      httpGet: {path: /livez, port: admin}
      periodSeconds: 10
      timeoutSeconds: 3
      failureThreshold: 3
    readinessProbe:
      httpGet: {path: /readyz, port: admin}
      periodSeconds: 2
      timeoutSeconds: 2
      failureThreshold: 2
    {{- if not $member.sqlite }}
    # Not on SQLite: no other replica would serve while this one sleeps.
    lifecycle:
      preStop:
        sleep:
          seconds: {{ $values.preStopSeconds }}
    {{- end }}
    securityContext:
      runAsNonRoot: true
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities:
        drop: [ALL]
      seccompProfile:
        type: RuntimeDefault
    resources:
      {{- toYaml $member.resources | nindent 6 }}
    volumeMounts:
      - name: etc
        mountPath: /etc/propdev
        readOnly: true
      - name: tmp
        mountPath: /tmp
      {{- range $member.claims }}
      - name: {{ .name }}
        mountPath: {{ .path }}
      {{- end }}
      {{- if and $member.erases $member.ledger.copyClaim }}
      - name: ledger-copy
        mountPath: /var/lib/propdev-ledger-copy
      {{- end }}
      {{- if and $member.audit $member.audit.checkpointClaim }}
      - name: checkpoints
        mountPath: /var/lib/propdev-checkpoints
      {{- end }}
volumes:
  # Configuration, certificates and keys in one folder. Kubernetes replaces
  # its content as a whole when a Secret changes, and the service reloads.
  - name: etc
    projected:
      defaultMode: 0440
      sources:
        - configMap:
            name: {{ $member.fullname }}
        - secret:
            name: {{ $member.tlsSecret }}
            items:
              - {key: tls.crt, path: tls/tls.crt}
              - {key: tls.key, path: tls/tls.key}
              {{- if not $values.trustBundle.existingConfigMap }}
              - {key: ca.crt, path: tls/ca.crt}
              {{- end }}
        {{- with $values.trustBundle.existingConfigMap }}
        - configMap:
            name: {{ . }}
            items:
              - {key: {{ $values.trustBundle.key }}, path: tls/ca.crt}
        {{- end }}
        {{- with $member.publicSecret }}
        - secret:
            name: {{ . }}
            items:
              - {key: tls.crt, path: public/tls.crt}
              - {key: tls.key, path: public/tls.key}
        {{- end }}
        {{- if and $member.postgres $member.database.caSecret }}
        - secret:
            name: {{ $member.database.caSecret }}
            items:
              - {key: ca.crt, path: database/ca.crt}
        {{- end }}
        {{- with $member.keyringSecret }}
        - secret:
            name: {{ . }}
            items:
              - {key: keyring.json, path: keyring/keyring.json}
        {{- end }}
        {{- with $member.audit }}
        {{- range $index, $witness := .witnesses }}
        {{- with $witness.caSecret }}
        - secret:
            name: {{ . }}
            items:
              - {key: ca.crt, path: witnesses/{{ $index }}.crt}
        {{- end }}
        {{- end }}
        {{- end }}
  # In memory: nothing a service holds may reach a node's disk.
  - name: tmp
    emptyDir:
      medium: Memory
      sizeLimit: 16Mi
  {{- range $member.claims }}
  - name: {{ .name }}
    persistentVolumeClaim:
      claimName: {{ .claim }}
  {{- end }}
  {{- if and $member.erases $member.ledger.copyClaim }}
  - name: ledger-copy
    persistentVolumeClaim:
      claimName: {{ $member.ledger.copyClaim }}
  {{- end }}
  {{- if and $member.audit $member.audit.checkpointClaim }}
  - name: checkpoints
    persistentVolumeClaim:
      claimName: {{ $member.audit.checkpointClaim }}
  {{- end }}
{{- end -}}
