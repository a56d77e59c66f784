package settings

// Sources are the places of the bytes of imported files: a bucket, a folder, or both.
// `cas serve` has them too, because a client may ask for a file before the backfill
// reads it.
type Sources struct {
	SourceDir            string `name:"source-dir" env:"CAS_SOURCE_DIR" help:"Folder with the bytes of imported files." placeholder:"DIR"`
	SourceS3Endpoint     string `name:"source-s3-endpoint" env:"CAS_SOURCE_S3_ENDPOINT" help:"URL of the S3-compatible store with the bytes of imported files. It may have a path, as at Supabase." placeholder:"URL"`
	SourceS3Bucket       string `name:"source-s3-bucket" env:"CAS_SOURCE_S3_BUCKET" help:"Bucket with the bytes of imported files." placeholder:"NAME"`
	SourceS3Region       string `name:"source-s3-region" env:"CAS_SOURCE_S3_REGION" help:"That bucket's region; us-east-1 if empty." placeholder:"NAME"`
	SourceS3Prefix       string `name:"source-s3-prefix" env:"CAS_SOURCE_S3_PREFIX" help:"Folder in that bucket; all storage paths are relative to it." placeholder:"PATH"`
	SourceS3Credentials  string `name:"source-s3-credentials" env:"CAS_SOURCE_S3_CREDENTIALS" default:"keys" enum:"keys,iam" help:"keys, or iam: the credentials of the role that the machine or container has."`
	SourceS3SessionToken Secret `kong:"-" secret:"CAS_SOURCE_S3_SESSION_TOKEN" help:"session token, if the keys for that bucket are temporary"`
	SourceS3AccessKey    Secret `kong:"-" secret:"CAS_SOURCE_S3_ACCESS_KEY" help:"access key for that bucket"`
	SourceS3SecretKey    Secret `kong:"-" secret:"CAS_SOURCE_S3_SECRET_KEY" help:"secret key for that bucket"`
}
