package s3test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7/pkg/s3utils"
	sigv4 "github.com/minio/minio-go/v7/pkg/signer"

	"casgate/cas/s3store"
)

// Below is a path below which an endpoint may lie: that of Supabase Storage.
const Below = "/storage/v1/s3"

const belowRegion = "eu-central-7"

// NewBelowPath returns the options of a bucket at an endpoint with a path, as Supabase
// Storage has it. The server there checks that the signature covers the path, and
// forwards to the real store.
func NewBelowPath(t testing.TB, o s3store.Options) s3store.Options {
	t.Helper()
	behind, err := url.Parse(o.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	real := o
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest, ok := strings.CutPrefix(r.URL.EscapedPath(), Below)
		if !ok || !isSigned(r, real.SecretKey) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `<Error><Code>SignatureDoesNotMatch</Code></Error>`) // the status says it too
			return
		}
		forward(w, r, behind, rest, real)
	}))
	t.Cleanup(front.Close)
	o.Endpoint, o.Region = front.URL+Below+"/", belowRegion
	return o
}

// isSigned reports whether a request has the right signature, in its header or its URL.
func isSigned(r *http.Request, secretKey string) bool {
	query := r.URL.Query()
	if got := query.Get("X-Amz-Signature"); got != "" {
		query.Del("X-Amz-Signature")
		return got == signature(r, query, query.Get("X-Amz-SignedHeaders"), query.Get("X-Amz-Date"), "UNSIGNED-PAYLOAD", secretKey)
	}
	_, signedHeaders, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	signedHeaders, got, _ := strings.Cut(signedHeaders, ", Signature=")
	return got == signature(r, query, signedHeaders, r.Header.Get("X-Amz-Date"), r.Header.Get("X-Amz-Content-Sha256"), secretKey)
}

// signature returns the signature that a server expects of request r, by the
// specification of Signature Version 4.
func signature(r *http.Request, query url.Values, signedHeaders, date, payload, secretKey string) string {
	var headers strings.Builder
	for name := range strings.SplitSeq(signedHeaders, ";") {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = r.Header.Get("Content-Length")
		}
		headers.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	request := strings.Join([]string{
		r.Method, s3utils.EncodePath(r.URL.Path), strings.ReplaceAll(query.Encode(), "+", "%20"),
		headers.String(), signedHeaders, payload,
	}, "\n")
	day := date[:min(8, len(date))]
	sum := sha256.Sum256([]byte(request))
	toSign := strings.Join([]string{
		"AWS4-HMAC-SHA256", date, day + "/" + belowRegion + "/s3/aws4_request", hex.EncodeToString(sum[:]),
	}, "\n")
	key := []byte("AWS4" + secretKey)
	for _, part := range []string{day, belowRegion, "s3", "aws4_request", toSign} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key)
}

// forward sends a request to a server without a path of its own.
func forward(w http.ResponseWriter, r *http.Request, server *url.URL, path string, o s3store.Options) {
	query := r.URL.Query()
	for name := range query {
		if strings.HasPrefix(name, "X-Amz-") {
			query.Del(name)
		}
	}
	request, err := http.NewRequestWithContext(r.Context(), r.Method, server.Scheme+"://"+server.Host+path+"?"+query.Encode(), r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	request.ContentLength = r.ContentLength
	if r.ContentLength == 0 {
		request.Body = http.NoBody
	}
	for name, values := range r.Header {
		if name == "Range" || name == "Content-Type" || name == "Content-Md5" || strings.HasPrefix(name, "X-Amz-Checksum-") {
			request.Header[name] = values
		}
	}
	request.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	answer, err := http.DefaultClient.Do(sigv4.SignV4(*request, o.AccessKey, o.SecretKey, o.SessionToken, "us-east-1"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	maps.Copy(w.Header(), answer.Header)
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body) // the client notices an incomplete body
}
