package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"casgate/providers/simulator/kimisim"
)

// Chats go to a provider in this process, which does no more than read a request and
// answer it. The yardstick is a bare httputil.ReverseProxy before the same provider.

// proxyCommand is the first argument that makes this program the bare proxy, so that it
// runs in a process of its own as the gateway does.
const proxyCommand = "yardstick-proxy"

// runProxy passes all requests on, and prints the address it listens on.
func runProxy(args []string, out io.Writer) error {
	flags := flag.NewFlagSet(proxyCommand, flag.ExitOnError)
	target := flags.String("target", "", "URL of the provider")
	if err := flags.Parse(args); err != nil {
		return err
	}
	u, err := url.Parse(*target)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, ln.Addr()); err != nil {
		return err
	}
	server := &http.Server{Handler: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}, ReadHeaderTimeout: time.Minute}
	return server.Serve(ln)
}

// chatLab is a gateway and a bare proxy before the same provider.
type chatLab struct {
	gateway *gateway
	proxy   *process
	address string // of the proxy
}

// chatAnswer is a short answer of a model.
const chatAnswer = `{"id":"chatcmpl-1","object":"chat.completion","created":1767225600,"model":"kimi-k2.6","choices":[{"index":0,"message":{"role":"assistant","content":"An answer."},"finish_reason":"stop"}],"usage":{"prompt_tokens":2560,"completion_tokens":3,"total_tokens":2563,"cached_tokens":2304}}`

// answerChat answers a chat. A stream begins with the time in nanoseconds at which its
// first event is sent.
func answerChat(w http.ResponseWriter, r *http.Request) {
	head := make([]byte, 64) // {"stream":true comes first
	n, err := io.ReadFull(r.Body, head)
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body)
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !bytes.Contains(head[:n], []byte(`"stream":true`)) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(chatAnswer)))
		_, _ = io.WriteString(w, chatAnswer) // a client that has left gets no answer
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	_, _ = fmt.Fprintf(w, "data: %d\n\n", time.Now().UnixNano())
	if flush() != nil {
		return
	}
	time.Sleep(5 * time.Millisecond) // so that the first event is on its way alone
	_, _ = io.WriteString(w, "data: [DONE]\n\n")
}

// startChat starts a provider, a gateway and a bare proxy.
func (l *lab) startChat(ctx context.Context) (*chatLab, error) {
	files := kimisim.New(kimisim.Options{Key: kimiKey})
	mux := http.NewServeMux()
	mux.Handle("/", files)
	mux.HandleFunc("POST "+kimisim.Prefix+"/chat/completions", answerChat)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(ln) }() // until it is closed
	l.atEnd(func() { server.Close() })
	provider := "http://" + ln.Addr().String()
	lab := &chatLab{}
	if lab.gateway, err = l.startWithKimi(ctx, false, provider+kimisim.Prefix); err != nil {
		return nil, err
	}
	l.atEnd(lab.gateway.stop)
	lab.proxy, lab.address, err = l.startSelf(proxyCommand, "--target", provider)
	return lab, err
}

// startSelf starts this program as a yardstick, which prints its address.
func (l *lab) startSelf(command string, args ...string) (*process, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, "", err
	}
	defer reader.Close()
	p, err := startProcess(command, l.dir, cleanEnvironment(), writer, self, append([]string{command}, args...)...)
	writer.Close()
	if err != nil {
		return nil, "", err
	}
	l.atEnd(p.stop)
	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil {
		return nil, "", fmt.Errorf("%s named no address: %w: %s", command, err, p.tail())
	}
	return p, strings.TrimSpace(line), nil
}

// picture returns the bytes of an image of a size.
func picture(size int64) []byte {
	return append([]byte("\x89PNG\r\n\x1a\n"), newContent(size).bytes()...)
}

// postChat is a chat that is sent to an address.
func postChat(address, body string, lines ...string) call {
	head := render("POST", address, "/v1/chat/completions", append(lines, "Content-Type: application/json", "Content-Length: "+strconv.Itoa(len(body)))...)
	return call{request: append(head, body...), status: http.StatusOK}
}

// chat is a request that names an image.
type chat struct {
	size   int // in bytes
	stream bool
}

// startChatWithFile starts a lab, and returns a chat that names an image by its digest. It
// has been sent once, so that the copy is there.
func (l *lab) startChatWithFile(ctx context.Context, of chat) (*chatLab, string, error) {
	c, err := l.startChat(ctx)
	if err != nil {
		return nil, "", err
	}
	digest, err := c.gateway.putBytes(ctx, picture(small))
	if err != nil {
		return nil, "", err
	}
	text := strings.Repeat("word ", of.size/5)
	body := fmt.Sprintf(`{"stream":%t,"model":"kimi/kimi-k2.6","messages":[{"role":"system","content":"%s"},{"role":"user","content":[{"type":"image_url","image_url":{"url":"%s"}},{"type":"text","text":"What is it?"}]}]}`, of.stream, text, digest)
	return c, body, c.gateway.do(ctx, postChat(c.gateway.address, body, c.gateway.authorization()))
}

// putBytes stores bytes as an image, and returns their digest.
func (g *gateway) putBytes(ctx context.Context, content []byte) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.address+"/v1/blobs?name=photo.png", bytes.NewReader(content))
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+g.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	_, rest, found := strings.Cut(string(answer), `"digest":"`)
	digest, _, _ := strings.Cut(rest, `"`)
	if response.StatusCode/100 != 2 || !found {
		return "", fmt.Errorf("store an image: %s: %s", response.Status, answer)
	}
	return digest, nil
}

// chatSize is the size of a chat in bytes.
const chatSize = 10 << 10

// chatDelay returns how many milliseconds the gateway adds to a chat whose file is there,
// beyond a bare proxy, at the median.
func chatDelay(ctx context.Context, l *lab) (float64, error) {
	c, body, err := l.startChatWithFile(ctx, chat{size: chatSize})
	if err != nil {
		return 0, err
	}
	ours, err := dial(ctx, c.gateway.address)
	if err != nil {
		return 0, err
	}
	defer ours.close()
	theirs, err := dial(ctx, c.address)
	if err != nil {
		return 0, err
	}
	defer theirs.close()
	through, straight := postChat(c.gateway.address, body, c.gateway.authorization()), postChat(c.address, body)
	var times, bare []time.Duration
	for begun := time.Now(); time.Since(begun) < l.duration || len(times) < 100; {
		for _, side := range []struct {
			*client
			call
			times *[]time.Duration
		}{{ours, through, &times}, {theirs, straight, &bare}} {
			begin := time.Now()
			if err := side.do(side.call, false); err != nil {
				return 0, err
			}
			*side.times = append(*side.times, time.Since(begin))
		}
	}
	return (middle(times) - middle(bare)).Seconds() * 1000, nil
}

// chatProcessor returns how many times the processor time of a bare proxy the gateway takes
// for a chat whose file is there.
func chatProcessor(ctx context.Context, l *lab) (float64, error) {
	c, body, err := l.startChatWithFile(ctx, chat{size: chatSize})
	if err != nil {
		return 0, err
	}
	send := func(p *process, address string, lines ...string) load {
		return load{p, address, inTurn(4, []call{postChat(address, body, lines...)})}
	}
	ours := send(c.gateway.process, c.gateway.address, c.gateway.authorization())
	theirs := send(c.proxy, c.address)
	ratio, err := l.compareProcessor(ctx, ours, theirs)
	if l.profiles == "" || err != nil {
		return ratio, err
	}
	return ratio, c.gateway.profile(ctx, filepath.Join(l.profiles, "chat-cpu.pprof"), l.duration, func() error {
		_, err := ours.cost(ctx, l.duration/turns)
		return err
	})
}

// chatFirstByte returns how many milliseconds after the provider sent it the first event of
// a stream arrives through the gateway, at the median.
func chatFirstByte(ctx context.Context, l *lab) (float64, error) {
	c, body, err := l.startChatWithFile(ctx, chat{size: chatSize, stream: true})
	if err != nil {
		return 0, err
	}
	var times []time.Duration
	for range 200 {
		late, err := c.firstEvent(ctx, body)
		if err != nil {
			return 0, err
		}
		times = append(times, late)
	}
	return middle(times).Seconds() * 1000, nil
}

// firstEvent returns the time between the first event of a stream and its arrival.
func (c *chatLab) firstEvent(ctx context.Context, body string) (time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.gateway.address+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+c.gateway.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	line, err := lines.ReadString('\n')
	arrived := time.Now()
	if err != nil {
		return 0, err
	}
	sent, err := strconv.ParseInt(strings.TrimSpace(strings.TrimPrefix(line, "data: ")), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("status %d, and the first event is %q", response.StatusCode, line)
	}
	_, err = io.Copy(io.Discard, lines)
	return arrived.Sub(time.Unix(0, sent)), err
}

// inlineSize is the size of the image in a chat that has it inline: 14 MB as base64.
const inlineSize = 10 << 20

// inlineChats compares chats with an image inline, which the gateway knows, with a bare proxy
// that forwards the same body.
func inlineChats(ctx context.Context, l *lab, connections int) (*gateway, side, side, error) {
	none := side{}
	c, err := l.startChat(ctx)
	if err != nil {
		return nil, none, none, err
	}
	body := fmt.Sprintf(`{"stream":false,"model":"kimi/kimi-k2.6","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}},{"type":"text","text":"What is it?"}]}]}`,
		base64.StdEncoding.EncodeToString(picture(inlineSize)))
	ours, theirs := postChat(c.gateway.address, body, c.gateway.authorization()), postChat(c.address, body)
	return c.gateway, readSide("gateway", c.gateway.address, connections, []call{ours}), readSide("bare ReverseProxy", c.address, connections, []call{theirs}), nil
}
