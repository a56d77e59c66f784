// Package disk tells how much room a disk has, on each operating system.
package disk

// Space is the room on the disk of a folder.
type Space struct {
	// Free is the number of bytes that this process may still write.
	Free int64
	// Device is equal for two folders on the same disk.
	Device any
}
