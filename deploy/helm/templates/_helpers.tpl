{{- define "casgate.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "casgate.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "casgate.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
{{ include "casgate.selector" . }}
{{- end }}

{{- define "casgate.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "casgate.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ include "casgate.name" . }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- /* What would fail later, or show a secret, fails here. */ -}}
{{- define "casgate.check" -}}
{{- if not .Values.secrets.name }}{{ fail "secrets.name is empty: make a Secret first, and name it (README.md of the chart has the command)" }}{{ end }}
{{- if not .Values.secrets.files.CAS_DATABASE_URL }}{{ fail "secrets.files.CAS_DATABASE_URL is empty: the chart needs Postgres" }}{{ end }}
{{- if not .Values.settings.CAS_S3_ENDPOINT }}{{ fail "settings.CAS_S3_ENDPOINT is empty: the chart needs a bucket, since pods share no folder" }}{{ end }}
{{- if not .Values.settings.CAS_S3_BUCKET }}{{ fail "settings.CAS_S3_BUCKET is empty" }}{{ end }}
{{- $own := list "CAS_LISTEN" "CAS_ADMIN_LISTEN" "CAS_DATA_DIR" "CAS_CACHE_DIR" "CAS_CACHE_SIZE" "CAS_DRAIN_DELAY" "CAS_SHUTDOWN_GRACE" "CAS_TLS_CERT_FILE" "CAS_TLS_KEY_FILE" }}
{{- range $name, $_ := .Values.settings }}
{{- if has $name $own }}{{ fail (printf "settings.%s: the chart sets it" $name) }}{{ end }}
{{- if or (regexMatch "(_API_KEY|_ACCESS_KEY|_SECRET_KEY|_SESSION_TOKEN|_TOKEN)$" $name) (has $name (list "CAS_DATABASE_URL" "CAS_DATABASE_LISTEN_URL")) }}{{ fail (printf "settings.%s is a secret: put it into the Secret, and name its key in secrets.files" $name) }}{{ end }}
{{- end }}
{{- end }}

{{- define "casgate.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "casgate.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- /* The variables of the settings that are files. */ -}}
{{- define "casgate.secretFiles" -}}
{{- range $name, $key := .Values.secrets.files }}
{{- if $key }}
- {name: {{ $name }}_FILE, value: {{ printf "/etc/casgate/secrets/%s" $key | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "casgate.secretsVolume" -}}
- name: secrets
  secret:
    secretName: {{ .Values.secrets.name }}
    defaultMode: 0440
{{- end }}

{{- define "casgate.scheme" -}}
{{- if .Values.tls.secretName }}HTTPS{{ else }}HTTP{{ end }}
{{- end }}

{{- define "casgate.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}
