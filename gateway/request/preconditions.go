package request

import (
	"net/http"

	"casgate/gateway/problem"
)

// CheckMatch returns precondition_failed if the field If-Match forbids a request, since
// the blob has another entity tag (RFC 9110, section 13.1.1). A field may have several
// lines.
func CheckMatch(h http.Header, etag string) error {
	if lists := h["If-Match"]; lists != nil && !MatchesStrongly(lists, etag) {
		return problem.New(problem.PreconditionFailed, "The blob's entity tag is not among those of If-Match.")
	}
	return nil
}

// CheckUpload returns precondition_failed if If-Match or If-None-Match forbids an upload
// of the blob with this entity tag. It calls exists only if there is such a field.
func CheckUpload(h http.Header, etag string, exists func() (bool, error)) error {
	noneMatch := h["If-None-Match"]
	if err := CheckMatch(h, etag); err != nil || h["If-Match"] == nil && noneMatch == nil {
		return err
	}
	found, err := exists()
	switch {
	case err != nil:
		return err
	case !found && h["If-Match"] != nil:
		return problem.New(problem.PreconditionFailed, "There is no such blob, and If-Match needs one.")
	case found && noneMatch != nil && MatchesWeakly(noneMatch, etag):
		return problem.New(problem.PreconditionFailed, "There is such a blob already, and If-None-Match excludes it.")
	}
	return nil
}
