// Package disk tells how much room a disk has, on each operating system.
package disk

// Space is the room on the disk of a folder.
type Space struct {
	// Free is the number of bytes that this process may still write.
	Free int64
	// Device is equal for two folders on the same disk.
	Device any
}

// Folder is a folder that a gateway fills.
type Folder struct {
	Name string // for metrics and logs
	Path string
}

// Found is the disk that a folder is on, or why it does not answer.
type Found struct {
	Folder
	Space
	Err error
}

// Distinct returns the disks that the folders are on, each with the first of its folders.
func Distinct(folders []Folder) []Found { return distinct(folders, Of) }

func distinct(folders []Folder, of func(folder string) (Space, error)) (disks []Found) {
	seen := map[any]bool{}
	for _, f := range folders {
		space, err := of(f.Path)
		if err == nil && seen[space.Device] {
			continue
		}
		if err == nil {
			seen[space.Device] = true
		}
		disks = append(disks, Found{f, space, err})
	}
	return disks
}
