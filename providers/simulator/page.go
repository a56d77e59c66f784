package simulator

import (
	"fmt"
	"net/http"
	"slices"
)

// Page returns the files that follow the one named after, at most limit of them,
// and whether there are more. An empty name means from the start, and so does that
// of a file that isn't there any more, as a server without a cursor would have it.
func Page(files []File, after string, limit int) (page []File, more bool) {
	if after != "" {
		i := slices.IndexFunc(files, func(f File) bool { return f.ID == after })
		files = files[i+1:]
	}
	if len(files) > limit {
		return files[:limit], true
	}
	return files, false
}

// Download answers with a file's bytes, where they were kept.
func (c *Core) Download(f File, contentType string) Answer {
	if !f.Whole() {
		return c.Error(http.StatusInternalServerError, "simulator",
			fmt.Sprintf("the simulator keeps no more of a file than %d bytes", HeadSize))
	}
	return Answer{Status: http.StatusOK, ContentType: contentType, Body: f.Head}
}
