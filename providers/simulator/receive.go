package simulator

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"

	"casgate/cas"
)

// Order is the position of the scalar fields in an upload's form.
type Order string

// The orders that providers require.
const (
	AnyOrder    Order = ""
	FieldsFirst Order = "fields_first"
	FileFirst   Order = "file_first"
)

// maxField is the maximum length of a scalar field, in bytes.
const maxField = 64 << 10

// Form is an upload's form.
type Form struct {
	Received
	// File has Size, Digest, Head and Name; ok is HasFile.
	File    RemoteFile
	HasFile bool
}

// Receive reads an upload's form to its end, and stops at the gate of BodyRead. The error
// of an invalid or incomplete form is for the client.
func (c *Core) Receive(r *http.Request, order Order) (Form, error) {
	form := Form{Received: Received{ContentLength: r.ContentLength, Fields: map[string]string{}}}
	parts, err := r.MultipartReader()
	if err != nil {
		return Form{}, err
	}
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF { // a wrapped one means an incomplete form
			break
		}
		if err != nil {
			return Form{}, fmt.Errorf("reading the form: %w", err)
		}
		if err := form.add(part, order); err != nil {
			return Form{}, err
		}
	}
	// After the form's end only the announced bytes may follow.
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return Form{}, fmt.Errorf("reading the form's end: %w", err)
	}
	c.mu.Lock()
	c.last = form.Received
	c.mu.Unlock()
	c.pass(BodyRead)
	return form, nil
}

// ReceiveFile reads an upload whose body is the file alone, and stops at the gate of
// BodyRead. The name and the media type came with an earlier request.
func (c *Core) ReceiveFile(r *http.Request, name, mediaType string) (RemoteFile, error) {
	f, err := readFile(r.Body)
	if err != nil {
		return RemoteFile{}, err
	}
	f.Name, f.MediaType = name, mediaType
	c.mu.Lock()
	c.last = Received{ContentLength: r.ContentLength, Order: []string{"file"}, Fields: map[string]string{}, FileName: name, MediaType: mediaType}
	c.mu.Unlock()
	c.pass(BodyRead)
	return f, nil
}

func (f *Form) add(part *multipart.Part, order Order) error {
	kind, parameters, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if err != nil || kind != "form-data" || parameters["name"] == "" {
		return errors.New("a part of the form has no proper Content-Disposition")
	}
	name := parameters["name"]
	f.Order = append(f.Order, name)
	if name != "file" {
		if order == FileFirst && !f.HasFile {
			return fmt.Errorf("the field %q comes before the file", name)
		}
		return f.addField(name, part)
	}
	if order == FieldsFirst && len(f.Fields) == 0 {
		return errors.New("the file comes before the fields")
	}
	if f.HasFile {
		return errors.New("the form has more than one file")
	}
	// RFC 7578, section 4.2: forms must not use filename*, and few servers know it. Go's
	// parser decodes it into filename.
	if bytes.Contains([]byte(part.Header.Get("Content-Disposition")), []byte("filename*")) {
		return errors.New("the file's name is given as filename*")
	}
	if parameters["filename"] == "" {
		return errors.New("the file has no name")
	}
	f.FileName, f.MediaType = parameters["filename"], part.Header.Get("Content-Type")
	f.HasFile = true
	f.File, err = readFile(part)
	f.File.Name, f.File.MediaType = f.FileName, f.MediaType
	return err
}

func (f *Form) addField(name string, part io.Reader) error {
	value, err := io.ReadAll(io.LimitReader(part, maxField+1))
	if err != nil {
		return fmt.Errorf("reading the field %q: %w", name, err)
	}
	if len(value) > maxField {
		return fmt.Errorf("the field %q is too long", name)
	}
	if _, repeated := f.Fields[name]; repeated {
		return fmt.Errorf("the field %q is repeated", name)
	}
	f.Fields[name] = string(value)
	return nil
}

// readFile reads a file's content to its end, and keeps its head.
func readFile(r io.Reader) (RemoteFile, error) {
	var head bytes.Buffer
	hash := sha256.New()
	r = io.TeeReader(r, hash)
	size, err := io.CopyN(&head, r, HeadSize)
	if err == nil {
		var rest int64
		rest, err = io.Copy(io.Discard, r)
		size += rest
	} else if errors.Is(err, io.EOF) {
		err = nil
	}
	if err != nil {
		return RemoteFile{}, fmt.Errorf("reading the file: %w", err)
	}
	return RemoteFile{Size: size, Digest: cas.Digest(hash.Sum(nil)), Head: head.Bytes()}, nil
}
