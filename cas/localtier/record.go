package localtier

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"os"
	"strings"
	"sync"
	"time"

	"casgate/cas"
	"casgate/cas/folderstore"
)

// record is a file of fixed size on disk beside the copies. It has the number of bytes of each part of the
// folder, and when the objects were last used, by slots that some of them share. So a start
// reads half a megabyte, whatever the number of copies, and a use costs a write of four bytes.
// The uses are read by pages, when they are needed first.
//
// The bytes of a copy are added before its file on disk exists, and subtracted after it is
// gone. So a killed process leaves too many bytes in the record, and never too few; the next
// look at that part corrects them. Writes survive the process without a flush, but not
// a crash of the machine, which may also cut copies short. So nothing is flushed before the tier closes, and
// after a crash of the machine, which the record knows by the boot in it, all copies are dropped. So they
// are if the record is damaged. The sweep corrects what else it finds to be wrong.
type record struct {
	file  *os.File
	boot  string
	owner [sha256.Size]byte // of the gateway's name
	// What load found: whether it can be a record, its state, and the boot in it.
	isSound  bool
	state    byte
	lastBoot string
	// bytes are guarded by Tier.mu, as filled, which has a bit for each part with bytes.
	bytes  [folderstore.Parts]int64
	filled [folderstore.Parts / 64]uint64
	pages  [slots / slotsInPage]usesPage
}

// usesPage has the last uses of some slots, as Unix times.
type usesPage struct {
	mu   sync.Mutex
	uses *[slotsInPage]uint32 // nil until they are needed
}

const (
	recordMagic = "casgate tier 2\n"
	// headSize is the size of the record's head: the magic, the state and the machine's boot.
	headSize    = 4096
	stateOffset = 64
	bootOffset  = 128
	bootSize    = 64
	ownerOffset = 192
	sumOffset   = 256 // of a checksum of the bytes, if the tier was closed
	slotsInPart = 32
	slots       = folderstore.Parts * slotsInPart
	slotsInPage = 1024
	bytesSize   = folderstore.Parts * 8
	usesOffset  = headSize + bytesSize
	recordSize  = usesOffset + slots*4

	stateInUse  = 'u'
	stateClosed = 'c'
)

// openRecord opens the record, or makes a new one. IsRight reports whether its bytes can be
// trusted.
func openRecord(name, owner string) (r *record, isRight bool, err error) {
	f, err := openRegular(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, false, err
	}
	r = &record{file: f, boot: bootID()}
	if err = r.load(); err != nil {
		f.Close()
		return nil, false, err
	}
	isRight = r.isSound && (r.state == stateClosed || r.lastBoot == r.boot && r.boot != "")
	r.owner = ownerSum(owner)
	return r, isRight, nil
}

// openRegular opens a file on disk, and nothing else that has its name.
func openRegular(name string, flag int) (*os.File, error) {
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file; remove it", name)
	}
	return os.OpenFile(name, flag|noFollow, 0o600)
}

// ownerSum is what the record says of its owner.
func ownerSum(owner string) [sha256.Size]byte { return sha256.Sum256([]byte(owner)) }

// load reads the head and the bytes.
func (r *record) load() error {
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() != recordSize {
		return nil
	}
	head := make([]byte, headSize+bytesSize)
	if _, err := r.file.ReadAt(head, 0); err != nil {
		return err
	}
	r.state = head[stateOffset]
	r.lastBoot = strings.TrimRight(string(head[bootOffset:bootOffset+bootSize]), "\x00")
	copy(r.owner[:], head[ownerOffset:])
	r.isSound = strings.HasPrefix(string(head), recordMagic)
	switch r.state {
	case stateInUse: // its bytes change all the time
	case stateClosed:
		r.isSound = r.isSound && binary.LittleEndian.Uint32(head[sumOffset:]) == checksum(head[headSize:])
	default:
		r.isSound = false
	}
	var total int64
	for i := range r.bytes {
		n := int64(binary.LittleEndian.Uint64(head[headSize+8*i:]))
		if n < 0 || total+n < 0 {
			r.isSound = false
			break
		}
		total += n
		r.count(folderstore.Part(i), n)
	}
	return nil
}

// total returns the bytes of all copies.
func (r *record) total() (total int64) {
	for _, n := range r.bytes {
		total += n
	}
	return total
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// renew makes the record that of an empty folder.
func (r *record) renew() (*record, error) {
	empty := &record{file: r.file, boot: r.boot, owner: r.owner}
	err := r.file.Truncate(0)
	if err == nil {
		err = r.file.Truncate(recordSize)
	}
	if err != nil {
		return nil, errors.Join(err, r.file.Close())
	}
	return empty, nil
}

// setState writes the head. It is durable before anything else changes.
func (r *record) setState(state byte) error {
	head := make([]byte, headSize)
	copy(head, recordMagic)
	head[stateOffset] = state
	copy(head[bootOffset:bootOffset+bootSize], r.boot)
	copy(head[ownerOffset:], r.owner[:])
	if state == stateClosed {
		parts := make([]byte, bytesSize)
		for i, n := range r.bytes {
			binary.LittleEndian.PutUint64(parts[8*i:], uint64(n))
		}
		// All are written once more: a write that failed meanwhile is made good.
		if _, err := r.file.WriteAt(parts, headSize); err != nil {
			return err
		}
		binary.LittleEndian.PutUint32(head[sumOffset:], checksum(parts))
	}
	if _, err := r.file.WriteAt(head, 0); err != nil {
		return err
	}
	return r.file.Sync()
}

// errNoSync says that the system can't make a whole file system durable.
var errNoSync = errors.New("the system can't make a file system durable")

// close makes the copies and the record durable, so that they outlive a crash of the machine.
func (r *record) close() error {
	err := syncDisk(r.file)
	switch {
	case err == nil:
		err = r.setState(stateClosed)
	case errors.Is(err, errNoSync):
		err = nil
	}
	return errors.Join(err, r.file.Close())
}

// set sets the bytes of a part.
func (r *record) set(part folderstore.Part, n int64) error {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	if _, err := r.file.WriteAt(b[:], headSize+8*int64(part)); err != nil {
		return err
	}
	r.count(part, n)
	return nil
}

// count sets the bytes of a part in memory only.
func (r *record) count(part folderstore.Part, n int64) {
	r.bytes[part] = n
	if bit := uint64(1) << (part % 64); n == 0 {
		r.filled[part/64] &^= bit
	} else {
		r.filled[part/64] |= bit
	}
}

// toFilled returns how many parts without bytes come before the next one with some, in a round
// through all parts. It is folderstore.Parts if none has any.
func (r *record) toFilled(from folderstore.Part) int {
	for i := 0; i < folderstore.Parts; {
		part := from + folderstore.Part(i) // after the last part comes the first one
		if word := r.filled[part/64] >> (part % 64); word != 0 {
			return i + bits.TrailingZeros64(word)
		}
		i += 64 - int(part%64)
	}
	return folderstore.Parts
}

// slot returns the place of an object's last use.
func slot(ref cas.ObjectRef) int {
	return int(folderstore.PartOf(ref))*slotsInPart + int(ref.Digest[2])*slotsInPart/256
}

// lastUse returns when an object, or another one in its slot, was last used.
func (r *record) lastUse(ref cas.ObjectRef) (last uint32) {
	r.atUse(slot(ref), func(use *uint32) { last = *use })
	return last
}

// use notes that an object is used now. If the write fails, the use is forgotten at the next
// start, which only makes the object look older.
func (r *record) use(ref cas.ObjectRef) {
	i, now := slot(ref), uint32(time.Now().Unix())
	isKnown := false
	r.atUse(i, func(use *uint32) { isKnown, *use = *use == now, now })
	if isKnown {
		return
	}
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], now)
	_, _ = r.file.WriteAt(b[:], usesOffset+4*int64(i))
}

// atUse calls do with the last use of a slot. If its page can't be read, its objects look as
// if they were never used.
func (r *record) atUse(slot int, do func(use *uint32)) {
	p := &r.pages[slot/slotsInPage]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.uses == nil {
		p.uses = new([slotsInPage]uint32)
		bytes := make([]byte, 4*slotsInPage)
		_, _ = r.file.ReadAt(bytes, usesOffset+4*int64(slot/slotsInPage*slotsInPage))
		for i := range p.uses {
			p.uses[i] = binary.LittleEndian.Uint32(bytes[4*i:])
		}
	}
	do(&p.uses[slot%slotsInPage])
}

// bootID names the time since the machine's start, or is empty if the system does not say it.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
