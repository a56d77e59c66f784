// Package importer brings over what an old file manager kept: rows of a table, or
// of a list, and the bytes they point to.
//
// Import turns rows into files without moving a byte. From then on each file can be
// used: its bytes are taken in when somebody asks for them. Backfill takes in the
// rest, at the pace it is told. All state is in the index, so that both can be
// killed at any moment and started again, or run twice at once.
package importer

import (
	"fmt"
	"iter"
)

// Row is what the old manager noted of one file, in its own words: as text, empty
// where it noted nothing.
type Row struct {
	ID             string // a UUID as a rule
	Key            string // the object in the bucket, or the file in the folder
	Name           string
	MediaType      string
	Size           string // bytes
	Type           string // becomes the purpose where it is one
	CreatedAt      string
	SHA256         string // hexadecimal
	Provider       string
	ProviderFileID string
	AccessedAt     string
	Metadata       string // a JSON object
}

// Rows are the rows of a table or list, as they are read. A RowError is about one
// row, and the next one follows; any other error is the last.
type Rows = iter.Seq2[Row, error]

// RowError is a row that can't be read.
type RowError struct {
	Where string // such as line 12
	Err   error
}

// Error implements error.
func (e *RowError) Error() string { return e.Where + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *RowError) Unwrap() error { return e.Err }

// Field is a part of a Row, by the name that the old manager's table has for it.
type Field string

// The fields of a row.
const (
	FieldID             Field = "id"
	FieldKey            Field = "storage_path"
	FieldName           Field = "original_name"
	FieldMediaType      Field = "mime_type"
	FieldSize           Field = "size_bytes"
	FieldType           Field = "file_type"
	FieldCreatedAt      Field = "created_at"
	FieldSHA256         Field = "sha256"
	FieldProvider       Field = "provider"
	FieldProviderFileID Field = "provider_file_id"
	FieldAccessedAt     Field = "accessed_at"
	FieldMetadata       Field = "metadata"
)

// Fields are all fields of a row. Only FieldKey must be there.
var Fields = []Field{
	FieldID, FieldKey, FieldName, FieldMediaType, FieldSize, FieldType, FieldCreatedAt, FieldSHA256,
	FieldProvider, FieldProviderFileID, FieldAccessedAt, FieldMetadata,
}

// Set sets one field of the row.
func (r *Row) Set(f Field, text string) {
	switch f {
	case FieldID:
		r.ID = text
	case FieldKey:
		r.Key = text
	case FieldName:
		r.Name = text
	case FieldMediaType:
		r.MediaType = text
	case FieldSize:
		r.Size = text
	case FieldType:
		r.Type = text
	case FieldCreatedAt:
		r.CreatedAt = text
	case FieldSHA256:
		r.SHA256 = text
	case FieldProvider:
		r.Provider = text
	case FieldProviderFileID:
		r.ProviderFileID = text
	case FieldAccessedAt:
		r.AccessedAt = text
	case FieldMetadata:
		r.Metadata = text
	default:
		panic(fmt.Sprintf("a row has no field %q", f))
	}
}
