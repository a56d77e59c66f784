package gateway_test

import "github.com/minio/minio-go/v7"

// What a plain client needs to act behind the gateway's back.
var (
	getOptions    minio.GetObjectOptions
	putOptions    minio.PutObjectOptions
	removeOptions minio.RemoveObjectOptions
)
