package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"casgate/cas/castest"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3test"
	"casgate/cmd/cas/internal/exit"
	"casgate/index/pgindex/pgtest"
)

// examined runs `cas doctor`, and checks that it fails with this remedy.
func examined(t *testing.T, settings []string, remedy string) {
	t.Helper()
	out, err := casCommand(t, settings, "doctor").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "→ "+remedy) {
		t.Errorf("cas doctor: %v; want the remedy %q:\n%s", err, remedy, out)
	}
}

// The doctor tells wrong keys and a missing bucket apart, on each make of store.
func TestDoctorOnBuckets(t *testing.T) {
	t.Parallel()
	stores := map[string]s3store.Options{"MinIO": s3test.NewBucket(t)}
	if castest.Thorough(1, 0) == 1 {
		stores["versitygw"] = s3test.NewSecondBucket(t)
	}
	for name, good := range stores {
		for fault, c := range map[string]struct {
			spoil  func(*s3store.Options)
			remedy string
		}{
			"an unknown key": {func(o *s3store.Options) { o.AccessKey = "nobody0123456789" }, "the store does not know CAS_S3_ACCESS_KEY"},
			"a wrong secret": {func(o *s3store.Options) { o.SecretKey = "wrong0123456789wrong" }, "CAS_S3_SECRET_KEY does not belong to CAS_S3_ACCESS_KEY"},
			"no bucket":      {func(o *s3store.Options) { o.Bucket = "nowhere" }, "make the bucket"},
		} {
			t.Run(name+", "+fault, func(t *testing.T) {
				t.Parallel()
				o := good
				c.spoil(&o)
				examined(t, []string{
					"CAS_DATA_DIR=" + t.TempDir(), "CAS_S3_ENDPOINT=" + o.Endpoint, "CAS_S3_BUCKET=" + o.Bucket, "CAS_S3_REGION=us-east-1",
					"CAS_S3_ACCESS_KEY=" + o.AccessKey, "CAS_S3_SECRET_KEY=" + o.SecretKey,
				}, c.remedy)
			})
		}
	}
}

// A store that takes no checksums refuses the doctor's first object already.
func TestDoctorOnAStoreWithoutChecksums(t *testing.T) {
	t.Parallel()
	o := s3test.NewBucket(t)
	real, err := url.Parse(o.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(real)
		p.Out.Host = p.In.Host // it is signed
	}}
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Checksum-Sha256") != "" {
			w.WriteHeader(http.StatusNotImplemented)
			fmt.Fprint(w, "<Error><Code>NotImplemented</Code><Message>A header you provided implies functionality that is not implemented</Message></Error>")
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(store.Close)
	examined(t, []string{
		"CAS_DATA_DIR=" + t.TempDir(), "CAS_S3_ENDPOINT=" + store.URL, "CAS_S3_BUCKET=" + o.Bucket, "CAS_S3_REGION=us-east-1",
		"CAS_S3_ACCESS_KEY=" + o.AccessKey, "CAS_S3_SECRET_KEY=" + o.SecretKey,
	}, "set CAS_S3_CHECKSUMS=off")
}

// A gateway that a store refuses says so in the store's words, once, and what to do.
func TestServeWithWrongKeys(t *testing.T) {
	t.Parallel()
	o := s3test.NewBucket(t)
	out, err := casCommand(t, []string{
		"CAS_DATA_DIR=" + t.TempDir(), "CAS_S3_ENDPOINT=" + o.Endpoint, "CAS_S3_BUCKET=" + o.Bucket, "CAS_S3_REGION=us-east-1",
		"CAS_S3_ACCESS_KEY=nobody0123456789", "CAS_S3_SECRET_KEY=" + o.SecretKey,
	}, "serve").CombinedOutput()
	said := string(out)
	if err == nil || !strings.Contains(said, "the object store refused the request: ") || !strings.Contains(said, "does not exist in our records; the store does not know CAS_S3_ACCESS_KEY: correct it") {
		t.Errorf("%v, %s", err, said)
	}
	for _, wrong := range []string{"unavailable", "create-bucket"} {
		if strings.Contains(said, wrong) {
			t.Errorf("it says %q: %s", wrong, said)
		}
	}
}

// The answer to HEAD has no body, and many stores give no code with it. The doctor asks in
// another way then.
func TestDoctorOnABucketWithoutWords(t *testing.T) {
	t.Parallel()
	for code, c := range map[string]struct {
		status int
		remedy string
	}{
		"InvalidAccessKeyId":    {403, "the store does not know CAS_S3_ACCESS_KEY"},
		"SignatureDoesNotMatch": {403, "CAS_S3_SECRET_KEY does not belong to CAS_S3_ACCESS_KEY"},
		"RequestTimeTooSkewed":  {403, "set this machine's clock"},
		"ExpiredToken":          {400, "the session token has expired"},
		"AccessDenied":          {403, "give the keys a policy"},
	} {
		store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(c.status)
			if r.Method != http.MethodHead {
				fmt.Fprintf(w, "<Error><Code>%s</Code><Message>in other words</Message></Error>", code)
			}
		}))
		t.Cleanup(store.Close)
		examined(t, []string{
			"CAS_DATA_DIR=" + t.TempDir(), "CAS_S3_ENDPOINT=" + store.URL, "CAS_S3_BUCKET=bucket", "CAS_S3_REGION=us-east-1",
			"CAS_S3_ACCESS_KEY=key", "CAS_S3_SECRET_KEY=secret",
		}, c.remedy)
	}
}

// wireServer speaks the protocol of Postgres.
type wireServer struct {
	version, number string // that it answers
	refusal         string // SQLSTATE with which it refuses to connect; empty: it doesn't
}

// start runs the server until the test ends. It returns the URL of a database there.
func (s wireServer) start(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if err := s.serve(conn); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
					t.Errorf("the server: %v", err)
				}
			}()
		}
	}()
	return "postgres://user:hunter2secret@" + ln.Addr().String() + "/db?sslmode=disable&default_query_exec_mode=simple_protocol"
}

func (s wireServer) serve(conn net.Conn) error {
	b := pgproto3.NewBackend(conn, conn)
	startup, err := b.ReceiveStartupMessage()
	if err != nil {
		return err
	}
	if _, ok := startup.(*pgproto3.SSLRequest); ok {
		_, err := conn.Write([]byte{'N'}) // it has no TLS
		return err
	}
	if s.refusal != "" {
		b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: s.refusal, Message: "in other words"})
		return b.Flush()
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	b.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for {
		if err := b.Flush(); err != nil {
			return err
		}
		message, err := b.Receive()
		if err != nil {
			return err
		}
		query, ok := message.(*pgproto3.Query)
		if !ok {
			return nil
		}
		if strings.Contains(query.String, "version()") {
			b.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{
				{Name: []byte("version"), DataTypeOID: 25, DataTypeSize: -1}, {Name: []byte("number"), DataTypeOID: 23, DataTypeSize: 4},
			}})
			b.Send(&pgproto3.DataRow{Values: [][]byte{[]byte(s.version), []byte(s.number)}})
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
		} else {
			b.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "0A000", Message: "not supported"})
		}
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	}
}

// A server that only speaks the protocol of Postgres, or is too old, is refused at once, by
// the doctor and by the gateway.
func TestDatabasesThatAreNotPostgres(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]wireServer{
		"CockroachDB": {version: "CockroachDB CCL v25.2.1 (x86_64-pc-linux-gnu, built 2025/06/11 14:02:11, go1.23.7)", number: "130000"},
		"YugabyteDB":  {version: "PostgreSQL 15.12-YB-2025.1.0.1-b0 on x86_64-pc-linux-gnu, compiled by clang version 17.0.6, 64-bit", number: "150012"},
		"old":         {version: "PostgreSQL 13.21 on x86_64-pc-linux-gnu", number: "130021"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := []string{"CAS_DATA_DIR=" + t.TempDir(), "CAS_DATABASE_URL=" + s.start(t)}
			examined(t, settings, "set CAS_DATABASE_URL to a PostgreSQL 14 or newer")
			for _, command := range [][]string{{"serve"}, {"migrate", "up"}} {
				out, err := casCommand(t, settings, command...).CombinedOutput()
				if err == nil || !strings.Contains(string(out), s.version[:20]) || !strings.Contains(string(out), "PostgreSQL 14 or newer") {
					t.Errorf("cas %q: %v, %s", command, err, out)
				}
				if strings.Contains(string(out), "hunter2secret") {
					t.Errorf("cas %q shows the password: %s", command, out)
				}
			}
		})
	}
}

// The doctor's remedy follows from the server's code, whatever its words.
func TestDoctorOnDatabases(t *testing.T) {
	t.Parallel()
	for code, remedy := range map[string]string{
		"28P01": "correct user and password",
		"28000": "correct the user in CAS_DATABASE_URL; or create the role",
		"3D000": "make the database",
		"53300": "the server has no connection left",
		"57P03": "the server is starting or stopping",
		"XX000": "check that the server runs",
	} {
		examined(t, []string{"CAS_DATA_DIR=" + t.TempDir(), "CAS_DATABASE_URL=" + wireServer{refusal: code}.start(t)}, remedy)
	}
	plain := strings.Replace(wireServer{}.start(t), "sslmode=disable", "sslmode=require", 1)
	examined(t, []string{"CAS_DATA_DIR=" + t.TempDir(), "CAS_DATABASE_URL=" + plain}, "the server has no TLS: turn it on there, or set sslmode=disable")
	gone, err := url.Parse(pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	gone.Path = "/nowhere"
	examined(t, []string{"CAS_DATA_DIR=" + t.TempDir(), "CAS_DATABASE_URL=" + gone.String()}, "make the database")
}

// A store that speaks plain HTTP can't be asked by HTTPS.
func TestDoctorOnAPlainStore(t *testing.T) {
	t.Parallel()
	examined(t, []string{
		"CAS_DATA_DIR=" + t.TempDir(), "CAS_S3_ENDPOINT=https://" + answering(t, ""), "CAS_S3_BUCKET=bucket", "CAS_S3_ACCESS_KEY=a", "CAS_S3_SECRET_KEY=s",
	}, "the store speaks plain HTTP there: write http:// in CAS_S3_ENDPOINT")
}

// A pooler in transaction mode needs a setting, which the doctor names.
func TestDoctorOnAPooler(t *testing.T) {
	t.Parallel()
	pooled := pgtest.NewPooled(t)
	bare, err := url.Parse(pooled)
	if err != nil {
		t.Fatal(err)
	}
	query := bare.Query()
	query.Del("default_query_exec_mode")
	bare.RawQuery = query.Encode()
	examined(t, []string{"CAS_DATA_DIR=" + t.TempDir(), "CAS_DATABASE_URL=" + bare.String()}, "a pooler in transaction mode is in between: add default_query_exec_mode=exec")
	for name, address := range map[string]string{"pooled": pooled, "direct": pgtest.New(t)} {
		out, err := casCommand(t, []string{"CAS_DATA_DIR=" + t.TempDir(), "CAS_DATABASE_URL=" + address}, "doctor").CombinedOutput()
		if err != nil || strings.Contains(string(out), "pooler ") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// The doctor says which user may not write where.
func TestDoctorOnAnUnwritableFolder(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	data := filepath.Join(parent, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	uid, as := os.Getuid(), func(*exec.Cmd) {}
	if uid == 0 { // root may write anywhere, so the doctor runs as another user
		uid = 65534
		program := programForAll(t, parent)
		as = func(cmd *exec.Cmd) {
			cmd.Path, cmd.Dir = program, "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
	}
	for _, dir := range []string{data, parent} {
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(dir, 0o755) }) // or it can't be removed, which the test reports
	}
	for dir, remedy := range map[string]string{
		data:                            fmt.Sprintf("give this user (uid %d) the right to write there", uid),
		filepath.Join(parent, "absent"): fmt.Sprintf("set CAS_DATA_DIR to a folder that this user (uid %d) may write to", uid),
	} {
		cmd := casCommand(t, []string{"CAS_DATA_DIR=" + dir}, "doctor")
		as(cmd)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "FAIL  data folder") || !strings.Contains(string(out), "→ "+remedy) {
			t.Errorf("%s: %v; want the remedy %q:\n%s", dir, err, remedy, out)
		}
		for _, wrong := range []string{"server runs", "CAS_DATABASE_URL", "CAS_S3"} {
			if strings.Contains(string(out), wrong) {
				t.Errorf("%s: there is no server, and it says %q:\n%s", dir, wrong, out)
			}
		}
	}
}

// programForAll makes a program that any user may run, and opens the folders above it. The
// folders of tests are closed to others.
func programForAll(t *testing.T, dir string) string {
	t.Helper()
	for up := dir; up != "/"; up = filepath.Dir(up) {
		if info, err := os.Stat(up); err == nil && info.Mode().Perm()&0o005 != 0o005 {
			if err := os.Chmod(up, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "cas")
	if os.Link(self, program) == nil {
		return program
	}
	content, err := os.ReadFile(self) // it is on another disk
	if err == nil {
		err = os.WriteFile(program, content, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// A damaged file of the index: each command says how to restore it, and exits with 6.
func TestDamagedIndexFile(t *testing.T) {
	t.Parallel()
	const page = 4096
	dir := t.TempDir()
	settings := []string{"CAS_DATA_DIR=" + dir, "CAS_LISTEN=127.0.0.1:0", "CAS_ADMIN_LISTEN="}
	if err := os.Mkdir(filepath.Join(dir, "objects"), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := casCommand(t, settings, "reindex", "-q").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	path := filepath.Join(dir, "index.sqlite")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for part, offset := range map[string]int{"the header": 0, "the last page": len(whole) - page} {
		damaged := slices.Clone(whole)
		copy(damaged[offset:offset+100], bytes.Repeat([]byte{0x5a}, 100))
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		examined(t, settings, "stop the gateway, move the index's file and its -wal and -shm files away")
		for _, args := range [][]string{{"serve"}, {"reindex"}, {"reindex", "--dry-run"}} {
			out, err := casCommand(t, settings, args...).CombinedOutput()
			e, ok := errors.AsType[*exec.ExitError](err)
			if !ok || e.ExitCode() != exit.Unavailable || !strings.Contains(string(out), "the index's file is damaged") || !strings.Contains(string(out), "move the index's file and its -wal and -shm files away (an old -wal would damage") {
				t.Errorf("%s is damaged: cas %v: %v: %s", part, args, err, out)
			}
		}
	}
}
