package gateway_test

import "github.com/minio/minio-go/v7"

// Options of a plain client, which changes the bucket without the gateway.
var (
	getOptions    minio.GetObjectOptions
	putOptions    minio.PutObjectOptions
	removeOptions minio.RemoveObjectOptions
)
