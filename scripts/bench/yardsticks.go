package main

import (
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/minio/minio-go/v7"

	"casgate/cas"
)

// echoCommand is the first argument that makes this program the bare Echo server,
// so that it runs in a process of its own as the gateway does.
const echoCommand = "yardstick-echo"

// echoNumber is the number of the content that the Echo server serves.
const echoNumber = 0

// runEcho serves one content from memory, or a copy as JSON, with nothing around
// it, and prints the address it listens on.
func runEcho(args []string, out io.Writer) error {
	flags := flag.NewFlagSet(echoCommand, flag.ExitOnError)
	size := flags.Int64("size", 4<<10, "size of the answer in bytes")
	asJSON := flags.Bool("json", false, "answer a copy as JSON instead")
	if err := flags.Parse(args); err != nil {
		return err
	}
	body := numberedContent(*size, echoNumber).bytes()
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	length := strconv.Itoa(len(body))
	e.GET("/", func(c echo.Context) error {
		// As the gateway does. Without it net/http sends chunks, and Echo is slower.
		c.Response().Header().Set(echo.HeaderContentLength, length)
		return c.Blob(http.StatusOK, cas.DefaultMediaType, body)
	})
	if *asJSON {
		answer := sampleCopy()
		e.PUT("/", func(c echo.Context) error { return c.JSON(http.StatusOK, answer) })
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	e.Listener = ln
	if _, err := fmt.Fprintln(out, ln.Addr()); err != nil {
		return err
	}
	return e.Start("")
}

// startEcho starts the Echo server and returns the call that it answers with a
// content.
func (l *lab) startEcho(size int64) (address string, answer call, err error) {
	address, err = l.startEchoServer("--size", strconv.FormatInt(size, 10))
	return address, call{request: get(address, "/"), status: http.StatusOK, answer: numberedContent(size, echoNumber)}, err
}

// startEchoJSON starts the Echo server and returns the call that it answers with
// JSON.
func (l *lab) startEchoJSON() (address string, answer call, err error) {
	address, err = l.startEchoServer("--json")
	return address, call{request: render("PUT", address, "/", "Content-Length: 0"), status: http.StatusOK}, err
}

func (l *lab) startEchoServer(flags ...string) (address string, err error) {
	_, address, err = l.startSelf(echoCommand, flags...)
	return address, err
}

const nginxConf = `daemon off;
%s
worker_processes auto;
pid %[2]s/nginx.pid;
error_log %[2]s/nginx-error.log;
events { worker_connections 1024; }
http {
	access_log off;
	sendfile on;
	tcp_nopush on;
	keepalive_requests 1000000000;
	client_body_temp_path %[2]s/nginx-body;
	proxy_temp_path %[2]s/nginx-proxy;
	fastcgi_temp_path %[2]s/nginx-fastcgi;
	uwsgi_temp_path %[2]s/nginx-uwsgi;
	scgi_temp_path %[2]s/nginx-scgi;
	server {
		listen %[3]s;
		root %[4]s;
	}
}
`

// startNginx starts nginx on a folder of files, and returns its address.
func (l *lab) startNginx(ctx context.Context, root, probe string) (string, error) {
	program, err := findNginx(ctx, l.progress)
	if err != nil {
		return "", err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // the gateway's folder is closed to others
	}
	return onFreeAddress(func(address string) (string, error) {
		conf := filepath.Join(l.dir, "nginx.conf")
		if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, user, l.dir, address, root), 0o644); err != nil {
			return "", err
		}
		p, err := startProcess("nginx", l.dir, cleanEnvironment(), nil, program, "-p", l.dir, "-c", conf)
		if err != nil {
			return "", err
		}
		if err := p.until(ctx, func(ctx context.Context) error { return answers(ctx, address, probe) }); err != nil {
			p.stop()
			return "", err
		}
		l.atEnd(p.stop)
		return address, nil
	})
}

// findNginx returns the program's path. Where it isn't there, root gets it
// installed.
func findNginx(ctx context.Context, progress io.Writer) (string, error) {
	look := func() (string, error) {
		for _, path := range []string{"nginx", "/usr/sbin/nginx", "/sbin/nginx"} {
			if found, err := exec.LookPath(path); err == nil {
				return found, nil
			}
		}
		return "", errors.New("nginx is not installed")
	}
	if path, err := look(); err == nil || os.Geteuid() != 0 {
		return path, err
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	fmt.Fprintln(progress, "installing nginx")
	if _, err := output(ctx, root, os.Environ(), "scripts/debian-install", "nginx-light"); err != nil {
		return "", err
	}
	return look()
}

// s3Transport is like that of the gateway's own S3 client.
func s3Transport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConns:        256,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
		WriteBufferSize:     64 << 10,
		ReadBufferSize:      64 << 10,
	}
}

// objectKey is the key under which a content lies in both buckets.
func objectKey(c *content) string { return cas.ObjectRef{Digest: c.digest()}.Key() }

// put stores a content straight in the yardstick's bucket, with the same options
// as the gateway: one PUT, whose checksum the store enforces.
func (s services) put(ctx context.Context, c *content) error {
	digest := c.digest()
	_, err := s.client.PutObject(ctx, s.direct, objectKey(c), c.reader(), c.size, minio.PutObjectOptions{
		ContentType:          cas.DefaultMediaType,
		DisableMultipart:     true,
		DisableContentSha256: true,
		UserMetadata:         map[string]string{"x-amz-checksum-sha256": base64.StdEncoding.EncodeToString(digest[:])},
	})
	return err
}

// remove deletes the contents' objects from a bucket.
func (s services) remove(ctx context.Context, bucket string, contents []*content) error {
	objects := make(chan minio.ObjectInfo)
	go func() {
		defer close(objects)
		for _, c := range contents {
			objects <- minio.ObjectInfo{Key: objectKey(c)}
		}
	}()
	var failed error
	for e := range s.client.RemoveObjects(ctx, bucket, objects, minio.RemoveObjectsOptions{}) {
		failed = errors.Join(failed, e.Err)
	}
	return failed
}

// read is the GET of a content straight from a bucket, signed beforehand so that
// signing costs the load generator nothing.
func (s services) read(ctx context.Context, bucket string, c *content) (address string, _ call, err error) {
	u, err := s.client.PresignedGetObject(ctx, bucket, objectKey(c), 24*time.Hour, nil)
	if err != nil {
		return "", call{}, err
	}
	return u.Host, call{request: get(u.Host, u.RequestURI()), status: http.StatusOK, answer: c}, nil
}

// bothReads are the reads of the same contents at a gateway and at MinIO.
type bothReads struct {
	ours, theirs []call
	address      string // of MinIO
}

// readBoth returns the reads of contents that lie in the gateway's bucket.
func readBoth(ctx context.Context, g *gateway, s services, contents []*content) (reads bothReads, err error) {
	for _, c := range contents {
		var signed call
		if reads.address, signed, err = s.read(ctx, s.bucket, c); err != nil {
			return bothReads{}, err
		}
		reads.ours, reads.theirs = append(reads.ours, g.read(c)), append(reads.theirs, signed)
	}
	return reads, nil
}
