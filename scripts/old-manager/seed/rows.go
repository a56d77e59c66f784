package seed

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"

	"casgate/cas"
)

// row is a row of the old table, with its object.
type row struct {
	id        uuid.UUID
	path      string
	name      *string
	mediaType *string
	size      *int64
	kind      *string
	created   time.Time
	sha256    *string
	remoteID  *string
	provider  *string
	accessed  *time.Time
	metadata  *string

	// body is the number of the content; the same number gives the same bytes. A number
	// below 0 means no bytes.
	body    int
	missing bool // there is no object
	// refused: it can't be imported; noted: a part of it can't be kept; failing: its bytes
	// can't be taken in.
	refused, noted, failing bool
}

// content returns the bytes of the row's object: mostly some kilobytes, sometimes
// more than a spool keeps in memory.
func (r row) content() string {
	if r.body < 0 {
		return ""
	}
	size := 100 + (r.body*7919)%4000
	if r.body%1000 == 999 {
		size = 1500 << 10
	}
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], uint64(r.body)+1)
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return string(b)
}

// generate returns rows. Some of each hundred are odd, always the same ones.
func generate(n int) []row {
	rows := make([]row, n)
	start := time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range rows {
		seed := sha256.Sum256(fmt.Append(nil, "old file ", i))
		id, err := uuid.FromBytes(seed[:16])
		if err != nil {
			panic(err) // there are 16 of them
		}
		rows[i] = row{
			id: id, path: fmt.Sprintf("uploads/%02x/%d.bin", seed[0], i), name: new(fmt.Sprintf("Document %d.pdf", i)),
			mediaType: new("application/pdf"), kind: new("document"), created: start.Add(time.Duration(i) * time.Minute),
			metadata: new(fmt.Sprintf(`{"project": "p%d", "number": %d}`, i%10, i)), body: i,
		}
		switch k := i % 100; {
		case k == 8 || k == 9:
			rows[i].body = -1
		case k >= 70 && k < 95: // uploads of what was there already
			rows[i].path, rows[i].body = rows[i-40].path, rows[i-40].body
		case k >= 25 && i/100%2 == 1:
			rows[i].path, rows[i].body = rows[i-100].path, rows[i-100].body
		case k >= 55 && k < 60: // uploads that raced
			rows[i].body = rows[i-10].body
		}
		content := rows[i].content()
		rows[i].size = new(int64(len(content)))
		rows[i].sha256 = new(hash(content))
		rows[i].spoil(i)
	}
	return rows
}

func hash(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// spoil makes a row odd, by its number.
func (r *row) spoil(i int) {
	switch k := i % 100; k {
	case 0: // an object that is gone
		r.missing, r.failing = true, true
	case 1, 2:
		r.missing, r.failing, r.sha256 = true, true, nil
	case 3, 4: // a wrong size, and nothing else to go by
		r.size, r.sha256, r.failing = new(*r.size+1), nil, true
	case 5: // a wrong size that doesn't matter
		r.size = new(*r.size + 1)
	case 6: // the digest of other bytes
		r.sha256, r.failing = new(hash("other bytes")), true
	case 7:
		r.sha256, r.noted = new("not a digest"), true
	case 10:
		r.name = new(`C:\Users\old\report.pdf`)
	case 11:
		r.name = new("line\nbreak\t.pdf")
	case 12:
		r.name = new(strings.Repeat("长", 300) + ".pdf")
	case 13:
		r.name = new("📎 报告.pdf")
	case 14:
		r.name = nil
	case 15, 16, 17, 18, 19: // a copy, some of which are gone
		r.provider, r.remoteID = new("kimi"), new(fmt.Sprintf("old-kimi-%d", i))
	case 20, 21, 22, 23:
		r.provider, r.remoteID = new("glm"), new(fmt.Sprintf("old-glm-%d", i))
	case 24: // a copy at an unknown provider
		r.remoteID, r.noted = new("lost-and-found"), true
	case 65:
		if i%1000 == 965 { // in the half that no other row shares with
			r.path, r.missing, r.refused = "", true, true
		}
	case 66:
		r.size, r.noted = new(int64(-1)), true
	case 67:
		r.mediaType, r.noted = new("pdf"), true
	case 68:
		r.metadata, r.noted = new(`["not", "an", "object"]`), true
	case 69:
		r.mediaType, r.size, r.kind, r.metadata, r.sha256 = nil, nil, nil, nil, nil
	default:
		switch {
		case k >= 25 && k < 45: // from before there were digests
			r.sha256 = nil
		case k >= 45 && k < 55:
			r.sha256 = new(strings.ToUpper(*r.sha256))
			r.accessed = new(r.created.Add(time.Hour))
		}
	}
}

// Expected is the expected result of an import and a backfill.
type Expected struct {
	Rows, Imported, Noted, Refused int64
	Taken, Duplicates, Failing     int64
	Bytes                          int64 // of those taken
	// Digests has the digests of the files that can be taken in, by row id.
	Digests map[string]cas.Digest
	// Blobs is the number of different digests.
	Blobs int64
	// WrittenBack is the number of rows that get a digest by --write-back sha256.
	WrittenBack int64
}

func expect(rows []row) Expected {
	e := Expected{Rows: int64(len(rows)), Digests: make(map[string]cas.Digest, len(rows))}
	blobs := map[cas.Digest]bool{}
	for _, r := range rows {
		switch {
		case r.refused:
			e.Refused++
			continue
		case r.noted:
			e.Noted++
		}
		e.Imported++
		if r.failing {
			e.Failing++
			continue
		}
		content := r.content()
		d := cas.DigestOf([]byte(content))
		e.Taken++
		e.Bytes += int64(len(content))
		e.Digests[r.id.String()] = d
		if r.sha256 == nil || *r.sha256 != d.Hex() {
			e.WrittenBack++
		}
		if blobs[d] {
			e.Duplicates++
		}
		blobs[d] = true
	}
	e.Blobs = int64(len(blobs))
	return e
}
