package openaicompat

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"casgate/providers"
)

// Paging is how a provider's listing is asked for its next page.
type Paging string

// The ways of paging.
const (
	// PagingAfter names the last file of the page before: OpenAI's way.
	PagingAfter Paging = "after"
	// PagingNumber counts pages from 0: Mistral's way.
	PagingNumber Paging = "page"
	// PagingNone: the one answer has all files.
	PagingNone Paging = "none"
)

// Listing is how a provider lists files.
type Listing struct {
	Paging Paging
	// PageSize is how many files to ask for at a time; 0 leaves it to the provider.
	PageSize int
	// ByPurpose: the provider can list one purpose alone, and NeedsPurpose: it does
	// nothing else.
	ByPurpose    bool
	NeedsPurpose bool
}

// listing is an answer's page. An answer that doesn't say whether there are more is
// one of its own kind.
type listing struct {
	Data    json.RawMessage `json:"data"`
	HasMore *bool           `json:"has_more"`
	Total   *int            `json:"total"` // Mistral's, of all pages
	files   []fileObject
}

// List implements providers.Provider.
func (f *Files) List(ctx context.Context, purpose string) iter.Seq2[providers.RemoteFile, error] {
	return func(yield func(providers.RemoteFile, error) bool) {
		asked := []string{purpose}
		if f.purpose(purpose).Unlisted {
			yield(providers.RemoteFile{}, f.Refuse(providers.OpList, "unlisted", "the provider does not list files of the purpose "+purpose, nil))
			return
		}
		if purpose == "" && f.api.Listing.NeedsPurpose {
			asked = nil
			for _, p := range f.description.Purposes {
				if !p.Unlisted {
					asked = append(asked, p.Name)
				}
			}
		}
		for _, purpose := range asked {
			if !f.listPurpose(ctx, purpose, yield) {
				return
			}
		}
	}
}

// listPurpose yields the files of a purpose. It reports whether to go on.
func (f *Files) listPurpose(ctx context.Context, purpose string, yield func(providers.RemoteFile, error) bool) bool {
	seen := make(map[string]bool)
	for page, after := 0, ""; ; page++ {
		status, l, err := f.page(ctx, purpose, page, after)
		if err != nil {
			yield(providers.RemoteFile{}, err)
			return false
		}
		news := 0
		for _, object := range l.files {
			file := f.remoteFile(object)
			if !usableID(file.ID) {
				yield(providers.RemoteFile{}, f.BadAnswer(providers.OpList, status, "a listed file has no id"))
				return false
			}
			after = file.ID
			if seen[file.ID] {
				continue // files that come and go move others to the next page
			}
			seen[file.ID] = true
			news++
			if f.api.Listing.NeedsPurpose && file.Purpose == "" {
				file.Purpose = purpose
			}
			if purpose != "" && file.Purpose != "" && file.Purpose != purpose {
				continue // the provider doesn't select, or not by this
			}
			if !yield(file, nil) {
				return false
			}
		}
		more, err := f.more(status, l, news, len(seen))
		if err != nil {
			yield(providers.RemoteFile{}, err)
			return false
		}
		if !more {
			return true
		}
	}
}

// page asks for one page.
func (f *Files) page(ctx context.Context, purpose string, number int, after string) (status int, l listing, err error) {
	how := f.api.Listing
	query := url.Values{}
	if purpose != "" && (how.ByPurpose || how.NeedsPurpose) {
		query.Set("purpose", purpose)
	}
	size := "limit"
	switch {
	case how.Paging == PagingNumber:
		size = "page_size"
		query.Set("page", strconv.Itoa(number))
	case after != "":
		query.Set("after", after)
	}
	if how.PageSize > 0 {
		query.Set(size, strconv.Itoa(how.PageSize))
	}
	status, body, err := f.call(ctx, providers.OpList, http.MethodGet, "/files", query, maxListing)
	if err != nil {
		return status, l, err
	}
	// Null is how some servers write a list of nothing.
	if !isObject(body) || json.Unmarshal(body, &l) != nil || l.Data == nil || json.Unmarshal(l.Data, &l.files) != nil {
		return status, l, f.BadAnswer(providers.OpList, status, "the answer is not a list of files")
	}
	return status, l, nil
}

// more decides whether to ask for another page after one with so many new files, of
// so many in all. A
// listing that isn't whole is an error: what isn't on it would be taken for gone.
func (f *Files) more(status int, l listing, news, all int) (bool, error) {
	claimed := l.HasMore != nil && *l.HasMore
	switch {
	case f.api.Listing.Paging == PagingNone:
		if claimed {
			return false, f.BadAnswer(providers.OpList, status, fmt.Sprintf("there are more files than the %d listed, and no way is known to get at them", len(l.files)))
		}
		return false, nil
	case claimed && news == 0:
		return false, f.BadAnswer(providers.OpList, status, "the listing says that it goes on, and doesn't")
	case claimed:
		return true, nil
	case l.HasMore != nil, l.Total != nil && all >= *l.Total:
		return false, nil
	case news == 0 && len(l.files) > 0 && (f.api.Listing.Paging == PagingNumber || f.api.Listing.PageSize > 0 && len(l.files) >= f.api.Listing.PageSize):
		return false, f.BadAnswer(providers.OpList, status, "the listing gives the same page again")
	}
	// Nothing is said of more. Then a page with nothing new is the last one; one that
	// isn't full needn't be, since a provider may give fewer than it was asked for. One
	// that knows no paging gives all of its files twice.
	return news > 0, nil
}
