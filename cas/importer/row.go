// Package importer moves the files of an old file manager into casgate: the rows of its
// table, or of a list, and the bytes that they refer to.
//
// Import turns rows into files without moving bytes. From then on each file can be
// used: its bytes are taken in at the first read. Backfill takes in the remaining bytes
// at a chosen pace. All state is in the index, so both can be killed at any moment and
// started again, and two may run at the same time.
package importer

import (
	"fmt"
	"iter"
)

// Row is the old manager's record of one file. All fields are texts, empty if the old
// manager has no value.
type Row struct {
	ID             string // usually a UUID
	Key            string // the object's key in the bucket, or its path in the folder
	Name           string
	MediaType      string
	Size           string // bytes
	Type           string // becomes the purpose if it is one of cas.Purposes
	CreatedAt      string
	SHA256         string // hexadecimal
	Provider       string
	ProviderFileID string
	AccessedAt     string
	Metadata       string // a JSON object
}

// Rows yields the rows of a table or list. After a RowError, which concerns one row, the
// next row follows. Any other error is the last element.
type Rows = iter.Seq2[Row, error]

// RowError is a row that can't be read.
type RowError struct {
	Where string // such as "line 12"
	Err   error
}

// Error implements error.
func (e *RowError) Error() string { return e.Where + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *RowError) Unwrap() error { return e.Err }

// Field is a field of a Row, named as the column in the old manager's table.
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
