package gemini

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// pageSize is the maximum number of files in a page of the list [D].
const pageSize = 100

// fileObject is a file in JSON [C]. Its id is the name without "files/".
type fileObject struct {
	Name           string          `json:"name"`
	DisplayName    string          `json:"displayName"`
	SizeBytes      json.RawMessage `json:"sizeBytes"` // a number in a string [C]
	CreateTime     string          `json:"createTime"`
	ExpirationTime string          `json:"expirationTime"`
	SHA256Hash     string          `json:"sha256Hash"`
	State          string          `json:"state"`
	Error          struct {
		Message string `json:"message"`
	} `json:"error"`
}

const prefix = "files/"

// id returns the file's id, or an empty text if the name is none.
func (o fileObject) id() string {
	id, found := strings.CutPrefix(o.Name, prefix)
	if !found {
		return ""
	}
	return id
}

func (o fileObject) size() int64 {
	n, err := strconv.ParseInt(strings.Trim(string(o.SizeBytes), `"`), 10, 64)
	if err != nil { // missing, or of an unknown form
		return 0
	}
	return max(n, 0)
}

// status reads a file's state: PROCESSING, then ACTIVE or FAILED [C]. A file without a
// state is usable, as the SDKs take it; a word that they don't know means processing.
func (o fileObject) status() providers.Status {
	switch strings.ToUpper(o.State) {
	case "ACTIVE", "", "STATE_UNSPECIFIED":
		return providers.StatusReady
	case "FAILED":
		return providers.StatusFailed
	}
	return providers.StatusProcessing
}

func (p *Provider) remoteFile(o fileObject) providers.RemoteFile {
	f := providers.RemoteFile{
		ID: o.id(), Name: o.DisplayName, Size: o.size(), Purpose: general,
		CreatedAt: moment(o.CreateTime), ExpiresAt: moment(o.ExpirationTime),
		Status: o.status(), Detail: p.client.Text(o.Error.Message),
	}
	if f.ExpiresAt.IsZero() && !f.CreatedAt.IsZero() {
		f.ExpiresAt = f.CreatedAt.Add(lifetimeSeconds * time.Second)
	}
	return f
}

// moment reads a time of RFC 3339. Anything else is the zero time.
func moment(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

// Retrieve implements providers.Retriever.
func (p *Provider) Retrieve(ctx context.Context, id string) (providers.RemoteFile, error) {
	return p.lookup(ctx, providers.OpRetrieve, id)
}

// Poll implements providers.Poller.
func (p *Provider) Poll(ctx context.Context, id string) (providers.RemoteFile, error) {
	return p.lookup(ctx, providers.OpPoll, id)
}

func (p *Provider) fileURL(id string) string {
	return p.client.Base() + "/files/" + url.PathEscape(id)
}

func (p *Provider) lookup(ctx context.Context, op providers.Op, id string) (providers.RemoteFile, error) {
	if err := p.client.CheckID(op, id); err != nil {
		return providers.RemoteFile{}, err
	}
	answer, err := p.client.Call(ctx, openaicompat.Request{Op: op, Method: http.MethodGet, URL: p.fileURL(id)})
	if err != nil {
		return providers.RemoteFile{}, p.confirmLost(ctx, err)
	}
	var o fileObject
	if json.Unmarshal(answer.Body, &o) != nil || o.id() != id {
		return providers.RemoteFile{}, p.client.BadAnswer(op, answer.Status, fmt.Sprintf("the answer is not about the file %q", id))
	}
	return p.remoteFile(o), nil
}

// Delete implements providers.Provider. The answer is an empty object [C].
func (p *Provider) Delete(ctx context.Context, id string) error {
	if err := p.client.CheckID(providers.OpDelete, id); err != nil {
		return err
	}
	answer, err := p.client.Call(ctx, openaicompat.Request{Op: providers.OpDelete, Method: http.MethodDelete, URL: p.fileURL(id)})
	if err != nil {
		return p.confirmLost(ctx, err)
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(answer.Body, &object) != nil || object == nil {
		return p.client.BadAnswer(providers.OpDelete, answer.Status, "the answer doesn't say that the file was deleted")
	}
	return nil
}

// confirmLost checks a 403 that says that a file doesn't exist, or belongs to somebody
// else. An unpaid bill gives the same 403 [L]: the file is lost only if the list, which
// needs the same permission, answers.
func (p *Provider) confirmLost(ctx context.Context, err error) error {
	e, ok := errors.AsType[*providers.Error](err)
	if !ok || e.Kind != providers.KindLost || e.Status != http.StatusForbidden {
		return err
	}
	_, _, failed := p.page(ctx, e.Op, 1, "")
	refused, ok := errors.AsType[*providers.Error](failed)
	if !ok {
		return err
	}
	if refused.Kind == providers.KindLost || refused.Kind == providers.KindPermanent {
		// The refusal of a list is about the account, and not about a file.
		refused.Kind, refused.Hint = providers.KindAuth, "the list of files is refused, too: check "+p.client.Variable("API_KEY")+" and the project's billing"
	}
	return failed
}

// List implements providers.Provider.
func (p *Provider) List(ctx context.Context, purpose string) iter.Seq2[providers.RemoteFile, error] {
	return func(yield func(providers.RemoteFile, error) bool) {
		if purpose != "" && purpose != general {
			return // there are no such files
		}
		seen := map[string]bool{}
		for token := ""; ; {
			files, next, err := p.page(ctx, providers.OpList, pageSize, token)
			news := 0
			for _, f := range files {
				if seen[f.ID] {
					continue // a file that appears moves another one to the next page
				}
				seen[f.ID] = true
				news++
				if !yield(f, nil) {
					return
				}
			}
			if err == nil && next != "" && (next == token || news == 0 && len(files) > 0) {
				err = p.client.BadAnswer(providers.OpList, http.StatusOK, "the list gives the same page again")
			}
			if err != nil {
				yield(providers.RemoteFile{}, err)
				return
			}
			if next == "" {
				return
			}
			token = next
		}
	}
}

// page requests a page of the list. An empty list is an empty object: the API leaves
// empty fields out.
func (p *Provider) page(ctx context.Context, op providers.Op, size int, token string) (files []providers.RemoteFile, next string, err error) {
	query := url.Values{"pageSize": {strconv.Itoa(size)}}
	if token != "" {
		query.Set("pageToken", token)
	}
	answer, err := p.client.Call(ctx, openaicompat.Request{
		Op: op, Method: http.MethodGet, URL: p.client.Base() + "/files", Query: query, Limit: openaicompat.MaxListing,
	})
	if err != nil {
		return nil, "", err
	}
	var body *struct {
		Files         []fileObject `json:"files"`
		NextPageToken string       `json:"nextPageToken"`
	}
	if json.Unmarshal(answer.Body, &body) != nil || body == nil {
		return nil, "", p.client.BadAnswer(op, answer.Status, "the answer is not a list of files")
	}
	for _, o := range body.Files {
		f := p.remoteFile(o)
		if p.client.CheckID(op, f.ID) != nil {
			return nil, "", p.client.BadAnswer(op, answer.Status, "a listed file has no usable name")
		}
		files = append(files, f)
	}
	return files, body.NextPageToken, nil
}
