package s3store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"

	"casgate/cas"
)

// ErrNoBucket is the error of Check for a bucket that does not exist.
var ErrNoBucket = errors.New("there is no bucket")

// mismatchCodes are the error codes of stores for bytes that have another checksum: of
// MinIO, of AWS and versitygw, and of Garage.
var mismatchCodes = []string{"XAmzContentChecksumMismatch", "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch"}

// fullCodes are the error codes for a store or a bucket without space.
var fullCodes = []string{"XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded"}

// isFull reports whether a store's error says that it has no space. MinIO says so by its code only
// when it has looked at its disks again; before, an error of any code has the words of the system.
func isFull(response minio.ErrorResponse) bool {
	return slices.Contains(fullCodes, response.Code) || response.StatusCode == http.StatusInsufficientStorage ||
		strings.Contains(response.Message, "no space left on device")
}

// refusals are the statuses with which a store refuses a request permanently: for its
// credentials, for a bucket that is not there, or for a part of S3 that it does not
// have. minio-go repeats requests with other statuses, or they have a meaning of their
// own.
var refusals = []int{
	http.StatusMovedPermanently, http.StatusTemporaryRedirect, // a bucket of another region
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
	http.StatusMethodNotAllowed, http.StatusLengthRequired, http.StatusNotImplemented,
}

// isRefusal reports whether a store's error lasts until an operator does something.
func isRefusal(response minio.ErrorResponse) bool {
	return slices.Contains(refusals, response.StatusCode) && !slices.Contains(mismatchCodes, response.Code)
}

// CodeOf returns the error code of the store, such as AccessDenied; "" if the error is
// not the store's.
func CodeOf(err error) string {
	response, ok := errors.AsType[minio.ErrorResponse](err)
	if !ok {
		return ""
	}
	return response.Code
}

// failed gives an error of the store its kind, what was done, and the endpoint.
func (s *Store) failed(doing string, err error) error {
	kind := cas.ErrStoreUnavailable
	switch response := minio.ToErrorResponse(err); {
	case isAbandoned(err):
	case isFull(response):
		kind = &cas.StoreFull{Reason: fmt.Sprintf("%s: %.300s", response.Code, response.Message)}
	case isRefusal(response):
		kind = cas.ErrStoreRefused
		response.Message = strings.TrimSuffix(response.Error(), ".") // the sentence may go on
		err = response
	}
	return fmt.Errorf("%w: %s at %s: %w", kind, doing, s.client.Endpoint, err)
}

// isAbandoned reports whether the caller ended the call.
func isAbandoned(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// opPut is the operation that can't find an object missing.
const opPut = "put"

// wrap is failed for a call about an object, whose errors may be the object's. An object
// counts as missing only if another one can be read at this moment.
func (s *Store) wrap(ctx context.Context, op string, ref cas.ObjectRef, err error) error {
	doing := op + " " + s.key(ref)
	if isAbandoned(err) {
		return s.failed(doing, err)
	}
	var kind error
	response := minio.ToErrorResponse(err)
	switch code := response.Code; {
	case code == minio.NoSuchKey && op != opPut && s.isReadable(ctx):
		kind = cas.ErrObjectMissing
	case code == minio.NoSuchKey:
		// A proxy without its store answers each request with 404.
		return fmt.Errorf("%w: %s at %s: the answer is 404, and so it is for an object that must be there: %w", cas.ErrStoreUnavailable, doing, s.client.Endpoint, err)
	case code == minio.InvalidRange:
		kind = cas.ErrRangeNotSatisfiable
	default:
		// A wrong checksum is not the caller's fault: the verifying reader found the bytes
		// right, so they were damaged on the way to the store.
		return s.failed(doing, err)
	}
	return fmt.Errorf("%w: %s at %s: %w", kind, doing, s.client.Endpoint, err)
}
