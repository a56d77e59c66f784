//go:build unix

package disk

import "golang.org/x/sys/unix"

// Of returns the room on the disk of a folder. The folder must exist.
func Of(folder string) (Space, error) {
	var room unix.Statfs_t
	if err := unix.Statfs(folder, &room); err != nil {
		return Space{}, err
	}
	var stat unix.Stat_t
	if err := unix.Stat(folder, &stat); err != nil {
		return Space{}, err
	}
	return Space{Free: int64(room.Bavail) * int64(room.Bsize), Device: stat.Dev}, nil
}
