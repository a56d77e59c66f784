package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/folderstore"
	"casgate/gateway"
	"casgate/gateway/client"
	"casgate/gateway/problem"
	"casgate/index/sqliteindex"
)

// exampleURL is the URL of a gateway that keeps everything in a temporary folder.
var exampleURL string

// withGateway runs the tests beside that gateway.
type withGateway struct{ *testing.M }

// Run implements goleak.TestingM.
func (m withGateway) Run() int {
	dir, err := os.MkdirTemp("", "casgate-client")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	objects, err := folderstore.Open(filepath.Join(dir, "objects"))
	if err != nil {
		panic(err)
	}
	index, err := sqliteindex.Open(context.Background(), filepath.Join(dir, "index.db"))
	if err != nil {
		panic(err)
	}
	defer index.Close()
	if err := index.Migrate(context.Background()); err != nil {
		panic(err)
	}
	store, err := cas.NewStore(objects, index, cas.Options{SpoolDir: dir})
	if err != nil {
		panic(err)
	}
	defer store.Close()
	g, err := gateway.New(gateway.Options{
		Store: store, Files: cas.NewFiles(cas.FilesOptions{Store: store, Index: index}), Access: index,
		NoAuth: true, PublicURL: "http://gateway.invalid", Log: zerolog.Nop(),
	})
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(g)
	defer server.Close()
	exampleURL = server.URL
	return m.M.Run()
}

func Example() {
	ctx := context.Background()
	c, err := client.New(exampleURL, client.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()

	stored, err := c.PutStream(ctx, strings.NewReader("hello"), client.PutOptions{Name: "hello.txt"})
	if err != nil {
		panic(err)
	}
	content, err := c.Blob(stored.Digest).Open(ctx, client.OpenOptions{})
	if err != nil {
		panic(err)
	}
	defer content.Body.Close()
	text, err := io.ReadAll(content.Body) // fails if the bytes don't have the digest
	if err != nil {
		panic(err)
	}
	fmt.Println(stored.Digest)
	fmt.Printf("%s: %s\n", content.Name, text)
	// Output:
	// sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
	// hello.txt: hello
}

func ExampleClient_CreateFile() {
	ctx := context.Background()
	c, err := client.New(exampleURL, client.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()

	made, err := c.CreateFile(ctx, strings.NewReader("minutes"), client.NewFile{
		Name: "minutes.txt", Purpose: "user_data", Tags: []string{"meeting"},
	})
	if err != nil {
		panic(err)
	}
	file := c.File(made.ID)
	found, err := file.Meta(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(found.Filename, found.Bytes, found.Tags)
	if err := file.Delete(ctx); err != nil {
		panic(err)
	}
	_, err = file.Meta(ctx)
	fmt.Println(errors.Is(err, cas.ErrFileNotFound))
	// Output:
	// minutes.txt 7 [meeting]
	// true
}

func ExampleClient_Blobs() {
	ctx := context.Background()
	c, err := client.New(exampleURL, client.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()

	if _, err := c.PutStream(ctx, strings.NewReader(`{"a":1}`), client.PutOptions{MediaType: "application/json"}); err != nil {
		panic(err)
	}
	for blob, err := range c.Blobs(ctx, client.BlobListOptions{MediaType: "application/json"}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(blob.Size, blob.MediaType)
	}
	// Output: 7 application/json
}

// An answer that reports an error matches its problem code, and the error of package
// cas with the same meaning. The Error has the details.
func ExampleError() {
	ctx := context.Background()
	c, err := client.New(exampleURL, client.Options{})
	if err != nil {
		panic(err)
	}
	defer c.Close()

	_, err = c.Blob(cas.DigestOf([]byte("never stored"))).Meta(ctx)
	fmt.Println(errors.Is(err, cas.ErrBlobNotFound), errors.Is(err, problem.BlobNotFound))

	_, err = c.Blob(cas.DigestOf([]byte("never stored"))).Copy(ctx, "kimi", client.CopyOptions{})
	if e, ok := errors.AsType[*client.Error](err); ok {
		fmt.Println(e.Problem.Status, e.Problem.Code, e.Problem.Retryable)
	}
	// Output:
	// true true
	// 404 provider_not_found false
}
