package openaicompat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"casgate/providers"
)

// placeholder matches the placeholders in a reference's JSON.
var placeholder = regexp.MustCompile(`\{(file_id|url|name|media_type)\}`)

func (r Reference) validate() error {
	switch {
	case r.Name == "":
		return errors.New("it has no name")
	case !json.Valid(r.JSON):
		return errors.New("its json is not valid JSON")
	case r.needs() == providers.NeedCopy && !bytes.Contains(r.JSON, []byte("{file_id}")):
		return errors.New("it has a purpose, and no {file_id} in its json")
	case r.needs() == providers.NeedURL && !bytes.Contains(r.JSON, []byte("{url}")):
		return errors.New("it has neither a purpose nor {url} in its json")
	}
	return nil
}

func (r Reference) needs() providers.Need {
	if r.Purpose == "" {
		return providers.NeedURL
	}
	return providers.NeedCopy
}

func (r Reference) kind() providers.ReferenceKind {
	return providers.ReferenceKind{Name: r.Name, Needs: r.needs(), Purpose: r.Purpose, Where: r.Where}
}

// fits reports whether the reference is for files of a type. The purpose p is the
// reference's. Text in any notation counts as text/*.
func (r Reference) fits(p providers.Purpose, t providers.FileType) bool {
	if _, ok := p.ExtensionOf(t); !ok {
		return false
	}
	return len(r.MediaTypes) == 0 || providers.ListsType(r.MediaTypes, t.MediaType) || t.IsText() && slices.Contains(r.MediaTypes, "text/*")
}

// build replaces the placeholders. A placeholder in valid JSON is always part of a
// string, so its value is escaped as in a string.
func (r Reference) build(m providers.Material) ([]byte, error) {
	values := map[string]string{"{file_id}": m.FileID, "{url}": m.URL, "{name}": m.Name, "{media_type}": m.MediaType}
	var failed error
	built := placeholder.ReplaceAllFunc(r.JSON, func(found []byte) []byte {
		quoted, err := JSON(values[string(found)])
		if err != nil {
			failed = err
			return nil
		}
		return quoted[1 : len(quoted)-1]
	})
	return built, failed
}

// JSON encodes a value without HTML escapes, which make URLs hard to read.
func JSON(value any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// CheckMaterial returns an error if the material lacks what the kind of reference
// needs.
func (c *Client) CheckMaterial(kind providers.ReferenceKind, m providers.Material) error {
	have, known := map[providers.Need]string{providers.NeedCopy: m.FileID, providers.NeedText: m.Text, providers.NeedURL: m.URL}[kind.Needs]
	if !known {
		return c.NoReference(kind)
	}
	if have == "" {
		return c.Refuse(providers.OpCheck, "", fmt.Sprintf("a reference %s is made from a %s, and there is none", kind.Name, kind.Needs), nil)
	}
	return nil
}

// NoReference returns the error for an unknown kind of reference.
func (c *Client) NoReference(kind providers.ReferenceKind) error {
	return c.Refuse(providers.OpCheck, "", fmt.Sprintf("there is no reference %q for the purpose %q", kind.Name, kind.Purpose), providers.ErrNoReference)
}
