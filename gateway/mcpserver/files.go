package mcpserver

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// LocalFiles are the files on disk that an agent may store.
type LocalFiles interface {
	// Find returns the file on disk at a path. The error is the same for every path that is
	// refused, whether or not something is there.
	Find(path string) (LocalFile, error)
	// Folders returns the folders that have the files.
	Folders() []string
}

// LocalFile is a regular file.
type LocalFile struct {
	Name string // without folders
	Size int64
	Open func() (io.ReadCloser, error)
}

// defaultPurpose is the purpose of files that an agent stores.
const defaultPurpose = "user_data"

var putFileTool = &mcp.Tool{
	Name: ToolPutFile, Title: "Store a local file",
	Description: "Store a local file and get its id. Bytes that are stored already are not sent again. For a day, equal bytes with the same name, purpose, tags and context are the same file; any other call makes a new one.",
	Annotations: &mcp.ToolAnnotations{DestructiveHint: new(false), IdempotentHint: true, OpenWorldHint: new(false)},
	InputSchema: schemaOf[putFileIn](),
}

type putFileIn struct {
	Path    string   `json:"path" jsonschema:"path of the file, relative to a folder of this server or absolute"`
	Purpose string   `json:"purpose,omitempty" jsonschema:"what providers use it for, such as user_data (the default), file-extract or vision"`
	Tags    []string `json:"tags,omitempty" jsonschema:"words to find it by"`
	Context string   `json:"context,omitempty" jsonschema:"groups files, such as those of a conversation or a project"`
}

type putFileOut struct {
	FileID       string `json:"file_id"`
	SHA256       string `json:"sha256"`
	Bytes        int64  `json:"bytes"`
	MediaType    string `json:"media_type,omitempty"`
	Deduplicated bool   `json:"deduplicated" jsonschema:"the bytes were stored already, and were not sent"`
	URL          string `json:"url,omitempty" jsonschema:"needs a token; read_file with as=link gives one that needs none"`
}

func (s *server) putFile(ctx context.Context, _ *mcp.CallToolRequest, in putFileIn) (result[putFileOut], error) {
	var none result[putFileOut]
	local, err := s.localFiles.Find(in.Path)
	if err != nil {
		return none, err
	}
	if local.Size > cas.MaxBlobSize {
		return none, badArgument("the file has %d bytes, and no gateway stores more than %d", local.Size, cas.MaxBlobSize)
	}
	source, err := client.NewSource(func() (io.ReadCloser, error) {
		content, err := local.Open()
		if err != nil {
			return nil, unreadable(err)
		}
		return &localContent{content, ctx}, nil
	})
	if err != nil {
		return none, err
	}
	n := client.NewFile{Name: local.Name, Purpose: cmp.Or(in.Purpose, defaultPurpose), Tags: in.Tags, Context: in.Context}
	file, sent, err := s.putOnce(ctx, source, n)
	if err != nil {
		return none, err
	}
	out := putFileOut{
		FileID: file.ID, SHA256: source.Digest.Hex(), Bytes: source.Size, MediaType: file.MediaType, Deduplicated: !sent, URL: file.URL,
	}
	return say(out, fmt.Sprintf("Stored as %s (%d bytes).", out.FileID, out.Bytes)), nil
}

// maxDeletions bounds how often within a day an agent may store a file again that it has
// deleted, before it gets an error.
const maxDeletions = 100

// putOnce stores a file. Equal calls have equal Idempotency-Keys, so an agent that repeats
// itself makes one file. The key of a file that was deleted since stays used for a day; the
// next key is then the file's.
func (s *server) putOnce(ctx context.Context, source client.Source, n client.NewFile) (file api.File, sent bool, err error) {
	for deletions := range maxDeletions {
		n.IdempotencyKey = sameFileKey(source.Digest, n, deletions)
		if file, sent, err = s.client.PutFile(ctx, source, n); !errors.Is(err, cas.ErrFileNotFound) {
			break
		}
	}
	return file, sent, err
}

func sameFileKey(d cas.Digest, n client.NewFile, deletions int) string {
	if len(n.Tags) == 0 {
		n.Tags = nil
	}
	text, err := json.Marshal([]any{d, n.Name, n.Purpose, n.Tags, n.Context, deletions})
	if err != nil {
		panic(err) // texts can be marshalled
	}
	sum := sha256.Sum256(text)
	return "mcp-" + hex.EncodeToString(sum[:])
}

// localContent is the content of a local file. It ends when the call is cancelled.
type localContent struct {
	io.ReadCloser
	ctx context.Context
}

func (c *localContent) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	n, err := c.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = unreadable(err)
	}
	return n, err
}

var uploadURLTool = &mcp.Tool{
	Name: ToolUploadURL, Title: "Get a URL to upload a file",
	Description: "Get a URL, and a curl command, that upload one file without a token. Run the command where the file is; its answer has the file's id. Never send file content through a tool.",
	Annotations: &mcp.ToolAnnotations{DestructiveHint: new(false), OpenWorldHint: new(false)},
	InputSchema: schemaOf[uploadURLIn](func(p map[string]*jsonschema.Schema) {
		p["max_bytes"].Minimum = new(1.0)
		p["expires_in"].Minimum, p["expires_in"].Maximum = new(1.0), new(float64(api.MaxUploadURLLife))
		p["sha256"].Pattern = hexDigest
	}),
}

// hexDigest is the pattern of a digest without its algorithm.
const hexDigest = "^[0-9a-f]{64}$"

type uploadURLIn struct {
	Filename  string `json:"filename" jsonschema:"the name that the file gets, without folders"`
	Purpose   string `json:"purpose,omitempty" jsonschema:"user_data is the default"`
	MaxBytes  int64  `json:"max_bytes,omitempty" jsonschema:"the largest file that the URL takes; 100 MiB is the default"`
	SHA256    string `json:"sha256,omitempty" jsonschema:"the SHA-256 that the file must have, in hexadecimal"`
	ExpiresIn int64  `json:"expires_in,omitempty" jsonschema:"seconds; 600 is the default"`
}

type uploadURLOut struct {
	URL       string    `json:"url"`
	Method    string    `json:"method"`
	Curl      string    `json:"curl" jsonschema:"put the file's path in the place of FILE"`
	MaxBytes  int64     `json:"max_bytes"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (s *server) uploadURL(ctx context.Context, _ *mcp.CallToolRequest, in uploadURLIn) (result[uploadURLOut], error) {
	o := client.UploadURLOptions{Filename: in.Filename, Purpose: in.Purpose, MaxBytes: in.MaxBytes, Life: time.Duration(in.ExpiresIn) * time.Second}
	if in.SHA256 != "" {
		d, err := cas.ParseDigest("sha256:" + in.SHA256)
		if err != nil {
			return result[uploadURLOut]{}, badArgument("sha256: %v", err)
		}
		o.Digest = &d
	}
	ctx, cancel := withinLookLimit(ctx)
	defer cancel()
	signed, err := s.client.UploadURL(ctx, o)
	if err != nil {
		return result[uploadURLOut]{}, err
	}
	out := uploadURLOut{URL: signed.URL, Method: signed.Method, Curl: signed.Curl, MaxBytes: signed.MaxBytes, ExpiresAt: signed.ExpiresAt}
	return say(out, "Run this with the file's path in the place of FILE; its answer has the file_id: "+out.Curl), nil
}

var findFilesTool = &mcp.Tool{
	Name: ToolFindFiles, Title: "Find files",
	Description: "List stored files, newest first. All conditions given must hold.",
	Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true, DestructiveHint: new(false), IdempotentHint: true, OpenWorldHint: new(false)},
	InputSchema: schemaOf[findFilesIn](func(p map[string]*jsonschema.Schema) {
		p["limit"].Minimum, p["limit"].Maximum = new(1.0), new(float64(maxFound))
		p["sha256"].Pattern = hexDigest
	}),
}

// maxFound bounds the files that find_files returns at a time. foundByDefault is how many
// it returns if the call doesn't say.
const (
	maxFound       = 50
	foundByDefault = 20
)

type findFilesIn struct {
	NamePrefix string `json:"name_prefix,omitempty" jsonschema:"how the name begins"`
	Tag        string `json:"tag,omitempty"`
	Context    string `json:"context,omitempty"`
	SHA256     string `json:"sha256,omitempty" jsonschema:"SHA-256 of the content, in hexadecimal"`
	Limit      int    `json:"limit,omitempty" jsonschema:"20 is the default"`
	After      string `json:"after,omitempty" jsonschema:"the next of the answer before"`
}

type findFilesOut struct {
	Files []fileOut `json:"files"`
	Next  string    `json:"next,omitempty" jsonschema:"pass it as after to get the files that follow; absent at the end"`
}

type fileOut struct {
	FileID    string    `json:"file_id"`
	Filename  string    `json:"filename"`
	Bytes     int64     `json:"bytes"`
	MediaType string    `json:"media_type,omitempty"`
	SHA256    string    `json:"sha256,omitempty" jsonschema:"absent until an imported file is read for the first time"`
	Purpose   string    `json:"purpose"`
	Tags      []string  `json:"tags,omitempty"`
	Context   string    `json:"context,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	URL       string    `json:"url,omitempty" jsonschema:"needs a token"`
}

func showFile(f api.File) fileOut {
	out := fileOut{
		FileID: f.ID, Filename: f.Filename, Bytes: f.Bytes, MediaType: f.MediaType, Purpose: f.Purpose,
		Tags: f.Tags, Context: f.Context, CreatedAt: time.Unix(f.CreatedAt, 0).UTC(), URL: f.URL,
	}
	if f.SHA256 != nil {
		out.SHA256 = *f.SHA256
	}
	return out
}

func (s *server) findFiles(ctx context.Context, _ *mcp.CallToolRequest, in findFilesIn) (result[findFilesOut], error) {
	o := client.FileListOptions{
		NamePrefix: in.NamePrefix, Tag: in.Tag, Context: in.Context, After: in.After,
		Descending: true, PageSize: cmp.Or(in.Limit, foundByDefault),
	}
	if in.SHA256 != "" {
		d, err := cas.ParseDigest("sha256:" + in.SHA256)
		if err != nil {
			return result[findFilesOut]{}, badArgument("sha256: %v", err)
		}
		o.Digest = &d
	}
	ctx, cancel := withinLookLimit(ctx)
	defer cancel()
	page, err := s.client.FilePage(ctx, o)
	if err != nil {
		return result[findFilesOut]{}, err
	}
	out := findFilesOut{Files: make([]fileOut, 0, len(page.Data))}
	for _, f := range page.Data {
		out.Files = append(out.Files, showFile(f))
	}
	line := fmt.Sprintf("%d files.", len(out.Files))
	if page.HasMore && page.LastID != nil {
		out.Next = *page.LastID
		line = fmt.Sprintf("%d files, and more after %s.", len(out.Files), out.Next)
	}
	return say(out, line), nil
}

var deleteFileTool = &mcp.Tool{
	Name: ToolDeleteFile, Title: "Delete a file",
	Description: "Delete one file by its id. With everywhere, also its content if no other file has it, its copies at providers, and the texts extracted from it. It can't be undone.",
	Annotations: &mcp.ToolAnnotations{DestructiveHint: new(true), IdempotentHint: true, OpenWorldHint: new(true)},
	InputSchema: schemaOf[deleteFileIn](),
}

type deleteFileIn struct {
	FileID     string `json:"file_id"`
	Everywhere bool   `json:"everywhere,omitempty" jsonschema:"needs a token with sync, too"`
}

type deleteFileOut struct {
	FileID  string `json:"file_id"`
	Deleted bool   `json:"deleted"`
	// The rest is there if the call asked for everywhere.
	Content string       `json:"content,omitempty" jsonschema:"deleted or kept"`
	Reason  string       `json:"reason,omitempty" jsonschema:"why the content was kept"`
	Copies  []deletedOut `json:"copies,omitempty"`
}

type deletedOut struct {
	Provider string `json:"provider"`
	State    string `json:"state" jsonschema:"deleted, or deleting while the gateway keeps trying"`
}

func (s *server) deleteFile(ctx context.Context, _ *mcp.CallToolRequest, in deleteFileIn) (result[deleteFileOut], error) {
	if !cas.IsFileID(in.FileID) {
		return result[deleteFileOut]{}, badArgument("file_id: %.200q is not a file id (file-…), as find_files gives it; no other name deletes a file", in.FileID)
	}
	out := deleteFileOut{FileID: in.FileID, Deleted: true}
	if !in.Everywhere {
		ctx, cancel := withinLookLimit(ctx)
		defer cancel()
		if err := s.client.File(in.FileID).Delete(ctx); err != nil {
			return result[deleteFileOut]{}, err
		}
		return say(out, "Deleted "+in.FileID+"."), nil
	}
	// The gateway goes on with copies that a provider doesn't delete at once.
	answer, err := s.client.File(in.FileID).DeleteEverywhere(ctx, client.EverywhereOptions{Async: true})
	if err != nil {
		return result[deleteFileOut]{}, err
	}
	if answer.Blob != nil {
		out.Content, out.Reason = "deleted", answer.Blob.Reason
		if answer.Blob.State == api.BlobKept {
			out.Content = "kept"
		}
	}
	for _, c := range answer.Copies {
		out.Copies = append(out.Copies, deletedOut{c.Provider, c.State})
	}
	return say(out, fmt.Sprintf("Deleted %s; its content is %s; %d copies at providers.", in.FileID, cmp.Or(out.Content, "unknown"), len(out.Copies))), nil
}
