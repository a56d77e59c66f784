package guard

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"

	"casgate/providers"
)

// layer is the common part of all decorators. It passes each call through around to
// the next provider. It implements every ability, as providers.Unwrapper requires;
// an ability that the adapter lacks returns an error.
type layer struct {
	next   providers.Provider
	around around
}

// around is a decorator's function for a call. It runs do any number of times. If it
// returns an end and no error, the layer calls the end exactly once, when the stream
// that the call opened is closed, with the stream's error.
type around func(ctx context.Context, c *call, do func() error) (end func(error), err error)

// call describes a call for decorators.
type call struct {
	op      providers.Op
	purpose string
	id      string // of the remote file; for an upload, set after its success
	size    int64  // bytes to upload
	begun   bool   // the caller has received a part of a list
}

// errPanicked is the error of a call that panicked.
var errPanicked = errors.New("the call panicked")

// bracket makes an around from a function before a call, and one after it. The end
// that begin returns is called exactly once, even if the call panics or its goroutine
// exits.
func bracket(begin func(ctx context.Context, c *call) (end func(error), err error)) around {
	return func(ctx context.Context, c *call, do func() error) (func(error), error) {
		end, err := begin(ctx, c)
		if err != nil {
			return nil, err
		}
		returned := false
		defer func() {
			if !returned {
				end(errPanicked)
			}
		}()
		err = do()
		returned = true
		if err != nil {
			end(err)
			return nil, err
		}
		return end, nil
	}
}

// run makes a call that ends when do returns.
func (l *layer) run(ctx context.Context, c *call, do func() error) error {
	end, err := l.around(ctx, c, do)
	if err == nil && end != nil {
		end(nil)
	}
	return err
}

// open makes a call that ends when its stream is closed.
func (l *layer) open(ctx context.Context, c *call, do func() (io.ReadCloser, error)) (io.ReadCloser, error) {
	var body io.ReadCloser
	end, err := l.around(ctx, c, func() (err error) {
		body, err = do()
		return err
	})
	if err != nil {
		return nil, err
	}
	if end == nil {
		return body, nil
	}
	return &stream{body: body, end: end}, nil
}

// Unwrap implements providers.Unwrapper.
func (l *layer) Unwrap() providers.Provider { return l.next }

// Describe implements providers.Provider.
func (l *layer) Describe() providers.Description { return l.next.Describe() }

// References implements providers.Provider.
func (l *layer) References(mediaType, extension string) []providers.ReferenceKind {
	return l.next.References(mediaType, extension)
}

// Reference implements providers.Provider.
func (l *layer) Reference(kind providers.ReferenceKind, m providers.Material) ([]byte, error) {
	return l.next.Reference(kind, m)
}

// Upload implements providers.Provider.
func (l *layer) Upload(ctx context.Context, u providers.Upload) (file providers.RemoteFile, err error) {
	c := &call{op: providers.OpUpload, purpose: u.Purpose, size: u.Size}
	err = l.run(ctx, c, func() (err error) {
		file, err = l.next.Upload(ctx, u)
		c.id = file.ID
		return err
	})
	return file, err
}

// Delete implements providers.Provider.
func (l *layer) Delete(ctx context.Context, id string) error {
	return l.run(ctx, &call{op: providers.OpDelete, id: id}, func() error { return l.next.Delete(ctx, id) })
}

// List implements providers.Provider.
func (l *layer) List(ctx context.Context, purpose string) iter.Seq2[providers.RemoteFile, error] {
	return func(yield func(providers.RemoteFile, error) bool) {
		c := &call{op: providers.OpList, purpose: purpose}
		err := l.run(ctx, c, func() error {
			for file, err := range l.next.List(ctx, purpose) {
				if err != nil {
					return err
				}
				c.begun = true
				if !yield(file, nil) {
					return nil
				}
			}
			return nil
		})
		if err != nil {
			yield(providers.RemoteFile{}, err)
		}
	}
}

// Retrieve implements providers.Retriever.
func (l *layer) Retrieve(ctx context.Context, id string) (file providers.RemoteFile, err error) {
	able, ok := l.next.(providers.Retriever)
	if !ok {
		return file, l.unable(providers.OpRetrieve)
	}
	err = l.run(ctx, &call{op: providers.OpRetrieve, id: id}, func() (err error) {
		file, err = able.Retrieve(ctx, id)
		return err
	})
	return file, err
}

// Poll implements providers.Poller.
func (l *layer) Poll(ctx context.Context, id string) (file providers.RemoteFile, err error) {
	able, ok := l.next.(providers.Poller)
	if !ok {
		return file, l.unable(providers.OpPoll)
	}
	err = l.run(ctx, &call{op: providers.OpPoll, id: id}, func() (err error) {
		file, err = able.Poll(ctx, id)
		return err
	})
	return file, err
}

// TextPurpose implements providers.TextExtractor. It is empty if the adapter extracts
// no text.
func (l *layer) TextPurpose() string {
	if able, ok := l.next.(providers.TextExtractor); ok {
		return able.TextPurpose()
	}
	return ""
}

// Text implements providers.TextExtractor.
func (l *layer) Text(ctx context.Context, id string) (io.ReadCloser, error) {
	able, ok := l.next.(providers.TextExtractor)
	if !ok {
		return nil, l.unable(providers.OpText)
	}
	return l.open(ctx, &call{op: providers.OpText, id: id}, func() (io.ReadCloser, error) { return able.Text(ctx, id) })
}

// Download implements providers.Downloader.
func (l *layer) Download(ctx context.Context, id string) (io.ReadCloser, error) {
	able, ok := l.next.(providers.Downloader)
	if !ok {
		return nil, l.unable(providers.OpDownload)
	}
	return l.open(ctx, &call{op: providers.OpDownload, id: id}, func() (io.ReadCloser, error) { return able.Download(ctx, id) })
}

// Chat implements providers.Chatter. It is zero if the adapter has no chat.
func (l *layer) Chat() providers.ChatAPI {
	if able, ok := l.next.(providers.Chatter); ok {
		return able.Chat()
	}
	return providers.ChatAPI{}
}

// unable is the error of an ability that the adapter lacks. A caller that uses
// providers.Ability never gets it.
func (l *layer) unable(op providers.Op) error {
	name := l.Describe().Provider
	return &providers.Error{
		Provider: name, Op: op, Kind: providers.KindPermanent, Code: "unsupported",
		Message: name + " doesn't support this",
	}
}

// stream is the open stream of Text or Download.
type stream struct {
	body io.ReadCloser
	end  func(error)

	once sync.Once
	mu   sync.Mutex
	err  error // of the first Read that failed
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.mu.Lock()
		if s.err == nil {
			s.err = err
		}
		s.mu.Unlock()
	}
	return n, err
}

// Close implements io.Closer. It closes the provider's stream before the call ends.
func (s *stream) Close() error {
	var err error
	s.once.Do(func() {
		ended := errPanicked
		defer func() { s.end(ended) }()
		err = s.body.Close()
		s.mu.Lock()
		ended = s.err
		s.mu.Unlock()
		if ended == nil {
			ended = err
		}
	})
	return err
}
