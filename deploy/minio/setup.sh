#!/bin/sh
#
# Makes the gateway's bucket and its user, to whom this one bucket is open and
# nothing else. Harmless to run again; a changed secret key or policy comes into
# force.
#
# Wants MINIO_URL, MINIO_ROOT_USER and MINIO_ROOT_PASSWORD, CAS_S3_BUCKET,
# CAS_S3_ACCESS_KEY and CAS_S3_SECRET_KEY, and mc on PATH.

set -eu

: "${MINIO_URL:?}" "${MINIO_ROOT_USER:?}" "${MINIO_ROOT_PASSWORD:?}"
: "${CAS_S3_BUCKET:?}" "${CAS_S3_ACCESS_KEY:?}" "${CAS_S3_SECRET_KEY:?}"

here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

minio() { mc --quiet --config-dir "$work/mc" "$@"; }

# Secrets go in over standard input: what is on a command line, all can read.
printf '%s\n%s\n' "$MINIO_ROOT_USER" "$MINIO_ROOT_PASSWORD" | minio alias set store "$MINIO_URL" >/dev/null

minio mb --ignore-existing "store/$CAS_S3_BUCKET"

# The policy in the file is for a bucket named casgate.
while read -r line; do
	case $line in
	*arn:aws:s3:::casgate*) line="${line%%arn:aws:s3:::casgate*}arn:aws:s3:::$CAS_S3_BUCKET${line#*arn:aws:s3:::casgate}" ;;
	esac
	printf '%s\n' "$line"
done <"$here/bucket-policy.json" >"$work/policy.json"

# MinIO lets every user make further keys for himself, which would outlive a change
# of the secret key. Other stores know no such action, hence a policy apart.
cat >"$work/no-keys.json" <<-'JSON'
	{
	  "Version": "2012-10-17",
	  "Statement": [{
	    "Effect": "Deny",
	    "Action": ["admin:CreateServiceAccount", "admin:UpdateServiceAccount", "admin:RemoveServiceAccount"]
	  }]
	}
JSON

printf '%s\n%s\n' "$CAS_S3_ACCESS_KEY" "$CAS_S3_SECRET_KEY" | minio admin user add store >/dev/null
minio admin policy create store casgate-bucket "$work/policy.json"
minio admin policy create store casgate-no-keys "$work/no-keys.json"
for policy in casgate-bucket casgate-no-keys; do
	# Attaching a policy that is attached already is an error to mc.
	if ! minio admin user info store "$CAS_S3_ACCESS_KEY" | grep -q "$policy"; then
		minio admin policy attach store "$policy" --user "$CAS_S3_ACCESS_KEY"
	fi
done
echo "bucket $CAS_S3_BUCKET is ready for $CAS_S3_ACCESS_KEY"
