package simulator

import (
	"fmt"
	"net/http"
	"slices"
)

// Page returns at most limit files after the one with the id after, and whether there are
// more. It starts from the first file if the id is empty, or if the file no longer
// exists, as a server without cursors does.
func Page(files []RemoteFile, after string, limit int) (page []RemoteFile, more bool) {
	if after != "" {
		i := slices.IndexFunc(files, func(f RemoteFile) bool { return f.ID == after })
		files = files[i+1:]
	}
	if len(files) > limit {
		return files[:limit], true
	}
	return files, false
}

// Download answers with a file's bytes if the simulator has all of them.
func (c *Core) Download(f RemoteFile, contentType string) Answer {
	if !f.Whole() {
		return c.Error(http.StatusInternalServerError, "simulator",
			fmt.Sprintf("the simulator keeps no more of a file than %d bytes", HeadSize))
	}
	return Answer{Status: http.StatusOK, ContentType: contentType, Body: f.Head}
}
