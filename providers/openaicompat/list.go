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

// Paging is how a client asks for the next page of a list.
type Paging string

// The ways of paging.
const (
	// PagingAfter names the last file of the previous page, as OpenAI does.
	PagingAfter Paging = "after"
	// PagingAfterID does the same with the parameter after_id, as Anthropic does.
	PagingAfterID Paging = "after_id"
	// PagingNumber counts pages from 0, as Mistral does.
	PagingNumber Paging = "page"
	// PagingNone: one answer has all files.
	PagingNone Paging = "none"
)

// PurposeFilter is how a list can be restricted to the files of one purpose.
type PurposeFilter string

// The ways of restricting a list.
const (
	// FilterOptional: the parameter purpose restricts the list.
	FilterOptional PurposeFilter = ""
	// FilterUnsupported: the list always has the files of all purposes.
	FilterUnsupported PurposeFilter = "unsupported"
	// FilterRequired: the list needs the parameter purpose.
	FilterRequired PurposeFilter = "required"
)

// filtersByPurpose reports whether a list takes the parameter purpose.
func (a API) filtersByPurpose() bool {
	return a.PurposeFilter == FilterRequired || a.PurposeFilter == FilterOptional && !a.onePurpose()
}

// listPage is one page of a list. HasMore and Total are nil if the answer doesn't
// have them.
type listPage struct {
	Data    json.RawMessage `json:"data"`
	HasMore *bool           `json:"has_more"`
	Total   *int            `json:"total"` // Mistral's, of all pages
	files   []fileObject
}

// List implements providers.Provider.
func (c *Client) List(ctx context.Context, purpose string) iter.Seq2[providers.RemoteFile, error] {
	return func(yield func(providers.RemoteFile, error) bool) {
		asked := []string{purpose}
		if c.purpose(purpose).Unlisted {
			yield(providers.RemoteFile{}, c.Refuse(providers.OpList, "unlisted", "the provider does not list files of the purpose "+purpose, nil))
			return
		}
		if purpose == "" && c.api.PurposeFilter == FilterRequired {
			asked = nil
			for _, p := range c.description.Purposes {
				if !p.Unlisted {
					asked = append(asked, p.Name)
				}
			}
		}
		for _, purpose := range asked {
			if !c.listPurpose(ctx, purpose, yield) {
				return
			}
		}
	}
}

// listPurpose yields the files of a purpose. It reports whether the caller wants more.
func (c *Client) listPurpose(ctx context.Context, purpose string, yield func(providers.RemoteFile, error) bool) bool {
	seen := make(map[string]bool)
	for page, after := 0, ""; ; page++ {
		status, l, err := c.page(ctx, purpose, page, after)
		if err != nil {
			yield(providers.RemoteFile{}, err)
			return false
		}
		news := 0
		for _, object := range l.files {
			file := c.remoteFile(object)
			if !usableID(file.ID) {
				yield(providers.RemoteFile{}, c.BadAnswer(providers.OpList, status, "a listed file has no id"))
				return false
			}
			after = file.ID
			if seen[file.ID] {
				continue // a file that appears moves another one to the next page
			}
			seen[file.ID] = true
			news++
			if c.api.PurposeFilter == FilterRequired && file.Purpose == "" {
				file.Purpose = purpose
			}
			if purpose != "" && file.Purpose != "" && file.Purpose != purpose && c.api.PurposeFilter != FilterRequired {
				continue // the provider doesn't filter by purpose
			}
			if !yield(file, nil) {
				return false
			}
		}
		more, err := c.more(status, l, news, len(seen))
		if err != nil {
			yield(providers.RemoteFile{}, err)
			return false
		}
		if !more {
			return true
		}
	}
}

// page requests one page.
func (c *Client) page(ctx context.Context, purpose string, number int, after string) (status int, l listPage, err error) {
	query := url.Values{}
	if purpose != "" && c.api.filtersByPurpose() {
		query.Set("purpose", purpose)
	}
	size := "limit"
	switch {
	case c.api.Listing == PagingNumber:
		size = "page_size"
		query.Set("page", strconv.Itoa(number))
	case after != "" && c.api.Listing == PagingAfterID:
		query.Set("after_id", after)
	case after != "":
		query.Set("after", after)
	}
	if c.api.PageSize > 0 {
		query.Set(size, strconv.Itoa(c.api.PageSize))
	}
	status, body, err := c.call(ctx, safeCall{op: providers.OpList, method: http.MethodGet, path: "/files", query: query, limit: maxListing})
	if err != nil {
		return status, l, err
	}
	// Some servers write null for an empty list.
	if !isObject(body) || json.Unmarshal(body, &l) != nil || l.Data == nil || json.Unmarshal(l.Data, &l.files) != nil {
		return status, l, c.BadAnswer(providers.OpList, status, "the answer is not a list of files")
	}
	return status, l, nil
}

// more reports whether there is another page. The page had news new files, and all
// is the number of files so far. An incomplete list is an error: the caller would
// take the missing files for deleted ones.
func (c *Client) more(status int, l listPage, news, all int) (bool, error) {
	claimed := l.HasMore != nil && *l.HasMore
	switch {
	case c.api.Listing == PagingNone:
		if claimed {
			return false, c.BadAnswer(providers.OpList, status, fmt.Sprintf("there are more files than the %d listed, and no way is known to get at them", len(l.files)))
		}
		return false, nil
	case claimed && news == 0:
		return false, c.BadAnswer(providers.OpList, status, "the listing says that it goes on, and doesn't")
	case claimed:
		return true, nil
	case l.HasMore != nil, l.Total != nil && all >= *l.Total:
		return false, nil
	case news == 0 && len(l.files) > 0 && (c.api.Listing == PagingNumber || c.api.PageSize > 0 && len(l.files) >= c.api.PageSize):
		return false, c.BadAnswer(providers.OpList, status, "the listing gives the same page again")
	}
	// The answer doesn't say whether there is more. A page without new files is then
	// the last one. A page that isn't full may have a successor: a provider may give
	// fewer files than requested. A provider without paging gives all its files twice.
	return news > 0, nil
}
