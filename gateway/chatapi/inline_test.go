package chatapi

import (
	"context"
	"encoding/base64"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/gateway/chatbody"
	"casgate/providers"
	"casgate/providers/guard"
	"casgate/providers/kimi"
	"casgate/providers/openaicompat"
)

// TestTextsThatCameBefore: a text stands for the same bytes each time, and the same
// characters in another encoding stand for others.
func TestTextsThatCameBefore(t *testing.T) {
	t.Parallel()
	taken, err := newTakenIn()
	if err != nil {
		t.Fatal(err)
	}
	content := []byte("some bytes")
	encoded := []byte(base64.StdEncoding.EncodeToString(content))
	for range 2 {
		if d, err := taken.decode(&inline{encoded: encoded, isBase64: true}); err != nil || d.digest != cas.DigestOf(content) || d.length != int64(len(content)) {
			t.Errorf("as base64: %v, %v", d, err)
		}
		if d, err := taken.decode(&inline{encoded: encoded}); err != nil || d.digest == cas.DigestOf(content) || d.length < int64(len(content)) {
			t.Errorf("percent-encoded: %v, %v", d, err)
		}
		if _, err := taken.decode(&inline{encoded: []byte("no base64!"), isBase64: true}); err == nil {
			t.Error("malformed base64 was decoded")
		}
	}
	if len(taken.texts) != 2 {
		t.Errorf("%d texts are known; want the two that are right", len(taken.texts))
	}
}

// TestPartsThatStay: bytes stay in a request only where the provider takes them so.
func TestPartsThatStay(t *testing.T) {
	t.Parallel()
	settings := providers.Settings{APIKey: "sk-0123456789", BaseURL: "http://127.0.0.1:1/v1"}
	kimiAccount, err := kimi.Open(settings)
	if err != nil {
		t.Fatal(err)
	}
	settings.Name = "openai"
	openAI, err := openaicompat.Open(settings)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		account    providers.Provider
		part, data string
		name       string
		stays      bool
	}{
		{kimiAccount, "image_url", "data:image/png;base64,QQ==", "", true},
		{kimiAccount, "image_url", "data:image/bmp;base64,QQ==", "", false},
		{kimiAccount, "image_url", "data:text/plain;base64,QQ==", "", false},
		{kimiAccount, "image_url", "data:application/pdf;base64,QQ==", "", false},
		{kimiAccount, "video_url", "data:video/mp4;base64,QQ==", "", true},
		{kimiAccount, "video_url", "data:image/png;base64,QQ==", "", false},
		{kimiAccount, "file", "data:application/pdf;base64,QQ==", "a.pdf", false},
		{openAI, "image_url", "data:image/jpeg;base64,QQ==", "", true},
		{openAI, "file", "data:application/pdf;base64,QQ==", "a.pdf", true},
		{openAI, "file", "QQ==", "a.pdf", false},
		{openAI, "file", "data:text/plain;base64,QQ==", "a.txt", false},
	} {
		chatter, ok := providers.Ability[providers.Chatter](test.account)
		if !ok {
			t.Fatal("no chats")
		}
		account := guard.New(test.account, guard.Options{})
		x := &completion{to: target{chat: chatter.Chat(), account: account}}
		in := parseInline([]byte(test.data))
		in.name = test.name
		if got := x.takesInline(chatbody.Part{Type: test.part}, in); got != test.stays {
			t.Errorf("%s, %s: stays %t", test.part, test.data, got)
		}
	}
}

// keptFile is a Files with the file of one blob.
type keptFile struct {
	Files
	file              cas.File
	created, prolongs int
}

func (k *keptFile) KnownBytes(_ context.Context, id string) (cas.File, cas.Blob, error) {
	if id != k.file.ID || time.Now().After(k.file.ExpiresAt) {
		return cas.File{}, cas.Blob{}, cas.ErrFileNotFound
	}
	return k.file, cas.Blob{Digest: k.file.Digest}, nil
}

func (k *keptFile) Create(_ context.Context, u cas.Upload, describe func() cas.NewFile) (cas.File, bool, error) {
	if time.Now().Before(k.file.ExpiresAt) {
		return k.file, false, cas.ErrDuplicateFile
	}
	k.created++
	k.file = describe().File
	k.file.ID, k.file.Digest = fmt.Sprintf("file-%d", k.created), *u.Digest
	return k.file, true, nil
}

func (k *keptFile) ProlongFiles(_ context.Context, until map[string]time.Time) error {
	k.prolongs++
	k.file.ExpiresAt = until[k.file.ID]
	return nil
}

// TestBytesStayAfterTheirLastUse: the file of bytes in requests expires some time after the
// last request that has them, and not each request writes.
func TestBytesStayAfterTheirLastUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		taken, err := newTakenIn()
		if err != nil {
			t.Fatal(err)
		}
		files := &keptFile{}
		h := &Handlers{Parts: Parts{Files: files}, o: Options{Keep: 720 * time.Hour}, taken: taken}
		use := func(want string) {
			t.Helper()
			in := &inline{encoded: []byte("QUJD"), isBase64: true}
			if in.decoded, err = taken.decode(in); err != nil {
				t.Fatal(err)
			}
			id, err := h.keepInline(t.Context(), in)
			if err != nil || id != want {
				t.Fatalf("%s, %v; want %s", id, err, want)
			}
			if left := time.Until(files.file.ExpiresAt); left < h.o.Keep || left > h.o.Keep+h.o.Keep/keepSlack {
				t.Errorf("it expires in %v", left)
			}
		}
		use("file-1")
		for range 100 {
			time.Sleep(time.Hour) // of the bubble's clock
			use("file-1")
		}
		if files.created != 1 || files.prolongs < 3 || files.prolongs > 5 {
			t.Errorf("%d files were made, and prolonged %d times in 100 hours", files.created, files.prolongs)
		}
		time.Sleep(2 * h.o.Keep)
		use("file-2")
	})
}
