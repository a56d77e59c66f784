package openaicompat

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"casgate/providers"
)

// placeholder matches the placeholders in a reference's JSON.
var placeholder = regexp.MustCompile(`\{(file_id|url|base64|name|media_type)\}`)

func (r Reference) validate() error {
	switch {
	case r.Name == "":
		return errors.New("it has no name")
	case !json.Valid(r.JSON):
		return errors.New("its json is not valid JSON")
	case r.needs() == providers.NeedCopy && !bytes.Contains(r.JSON, []byte("{file_id}")):
		return errors.New("it has a purpose, and no {file_id} in its json")
	case r.needs() == providers.NeedURL && !bytes.Contains(r.JSON, []byte("{url}")):
		return errors.New("it has neither a purpose nor {url} nor {base64} in its json")
	case !slices.Contains([]providers.Place{"", providers.PlacePart, providers.PlaceMessage, providers.PlaceValue}, r.Place):
		return fmt.Errorf("its place %q is not part, message or value", r.Place)
	case r.MaxSize < 0 || r.MaxSize > 0 && r.Purpose != "":
		return errors.New("it has a max_size that is negative, or beside the purpose's own")
	}
	return nil
}

// place returns where the value stands in a request.
func (r Reference) place() providers.Place {
	var message struct{ Role string }
	switch {
	case r.Place != "":
		return r.Place
	case r.JSON[0] == '"':
		return providers.PlaceValue
	case json.Unmarshal(r.JSON, &message) == nil && message.Role != "":
		return providers.PlaceMessage
	}
	return providers.PlacePart
}

func (r Reference) needs() providers.Need {
	switch {
	case r.Purpose != "":
		return providers.NeedCopy
	case bytes.Contains(r.JSON, []byte("{base64}")):
		return providers.NeedBytes
	}
	return providers.NeedURL
}

func (r Reference) kind() providers.ReferenceKind {
	return providers.ReferenceKind{Name: r.Name, Needs: r.needs(), Purpose: r.Purpose, Place: r.place(), Request: r.Request, Field: r.Field, Note: r.Note, MaxSize: r.MaxSize}
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
	values := map[string]string{"{file_id}": m.FileID, "{url}": m.URL, "{base64}": base64.StdEncoding.EncodeToString(m.Bytes), "{name}": m.Name, "{media_type}": m.MediaType}
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
	var there bool
	switch kind.Needs {
	case providers.NeedCopy:
		there = m.FileID != ""
	case providers.NeedText:
		there = m.Text != ""
	case providers.NeedURL:
		there = m.URL != ""
	case providers.NeedBytes:
		there = len(m.Bytes) > 0
	default:
		return c.NoReference(kind)
	}
	if !there {
		return c.Refuse(providers.OpCheck, "", fmt.Sprintf("a reference %s is made from a %s, and there is none", kind.Name, kind.Needs), nil)
	}
	return nil
}

// NoReference returns the error for an unknown kind of reference.
func (c *Client) NoReference(kind providers.ReferenceKind) error {
	return c.Refuse(providers.OpCheck, "", fmt.Sprintf("there is no reference %q for the purpose %q", kind.Name, kind.Purpose), providers.ErrNoReference)
}
