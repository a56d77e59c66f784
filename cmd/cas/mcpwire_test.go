package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`

// Messages pass as they are, each on a line, and all else is answered.
func TestProtocolIn(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		line string
		code int64 // 0: it passes
	}{
		"request":           {ping, 0},
		"notification":      {`{"jsonrpc":"2.0","method":"notifications/initialized"}`, 0},
		"answer":            {`{"jsonrpc":"2.0","id":1,"result":{}}`, 0},
		"Windows":           {ping + "\r", 0},
		"words":             {`not json`, jsonrpc.CodeParseError},
		"half a message":    {ping[:20], jsonrpc.CodeParseError},
		"two messages":      {ping + ping, jsonrpc.CodeParseError},
		"trailing words":    {ping + " x", jsonrpc.CodeParseError},
		"too long":          {`{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("x", maxProtocolLine) + `"}`, jsonrpc.CodeParseError},
		"number":            {`5`, jsonrpc.CodeInvalidRequest},
		"null":              {`null`, jsonrpc.CodeInvalidRequest},
		"empty object":      {`{}`, jsonrpc.CodeInvalidRequest},
		"batch":             {"[" + ping + "]", jsonrpc.CodeInvalidRequest},
		"another version":   {`{"jsonrpc":"1.0","id":1,"method":"ping"}`, jsonrpc.CodeInvalidRequest},
		"a text for id":     {`{"jsonrpc":"2.0","id":"1.5","method":"ping"}`, 0},
		"a fraction":        {`{"jsonrpc":"2.0","id":1.5,"method":"ping"}`, jsonrpc.CodeInvalidRequest},
		"a rounded id":      {`{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}`, jsonrpc.CodeInvalidRequest},
		"a huge id":         {`{"jsonrpc":"2.0","id":99999999999999999999,"method":"ping"}`, jsonrpc.CodeInvalidRequest},
		"a member twice":    {`{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}`, jsonrpc.CodeInvalidRequest},
		"an argument twice": {`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file","arguments":{"file":"a","file":"b"}}}`, jsonrpc.CodeInvalidParams},
		"an object for id":  {`{"jsonrpc":"2.0","id":{},"method":"ping"}`, jsonrpc.CodeInvalidRequest},
	} {
		var refusals bytes.Buffer
		in := newProtocolIn(strings.NewReader("\n"+tt.line+"\n \n"+ping), &refusals)
		passed, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		want := ping + "\n"
		if tt.code == 0 {
			want = strings.TrimSpace(tt.line) + "\n" + want
		}
		if string(passed) != want {
			t.Errorf("%s: passed %.200q", name, passed)
		}
		var answer struct {
			JSONRPC string
			ID      any
			Error   struct {
				Code    int64
				Message string
			}
		}
		if tt.code == 0 {
			if refusals.Len() > 0 {
				t.Errorf("%s: refused with %s", name, refusals.String())
			}
			continue
		}
		if err := json.Unmarshal(refusals.Bytes(), &answer); err != nil || answer.JSONRPC != "2.0" || (answer.ID != nil) != strings.HasSuffix(name, " twice") || answer.Error.Code != tt.code || answer.Error.Message == "" || strings.Count(refusals.String(), "\n") != 1 {
			t.Errorf("%s: refused with %q, %v", name, refusals.String(), err)
		}
	}
	if passed, err := io.ReadAll(newProtocolIn(iotest.OneByteReader(strings.NewReader(ping)), io.Discard)); err != nil || string(passed) != ping+"\n" {
		t.Errorf("by single bytes: %q, %v", passed, err)
	}
}

// A session goes on after lines that are no messages.
func TestSessionOutlivesBadLines(t *testing.T) {
	t.Parallel()
	in, toServer := io.Pipe()
	fromServer, written := io.Pipe()
	out := &protocolOut{out: written}
	ended := make(chan error, 1)
	go func() {
		server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
		ended <- server.Run(t.Context(), &mcp.IOTransport{Reader: newProtocolIn(in, out), Writer: out})
		written.Close()
	}()
	answers := bufio.NewReader(fromServer)
	for _, exchange := range [][2]string{
		{`not json`, `"code":-32700`},
		{`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`, `"id":1`},
		{`{}`, `"code":-32600`},
		{strings.Replace(ping, `"id":1`, `"id":2`, 1), `"id":2`},
	} {
		if _, err := io.WriteString(toServer, exchange[0]+"\n"); err != nil {
			t.Fatal(err)
		}
		if answer, err := answers.ReadString('\n'); err != nil || !strings.Contains(answer, exchange[1]) {
			t.Fatalf("%s: %s, %v", exchange[0], answer, err)
		}
	}
	toServer.Close()
	if err := <-ended; err != nil {
		t.Errorf("the session ended with %v", err)
	}
}

// A cancelled request has no answer, and its id may be used again. Every error has a code.
func TestSessionAnswersAsTheProtocolSays(t *testing.T) {
	t.Parallel()
	in, toServer := io.Pipe()
	fromServer, written := io.Pipe()
	out := &protocolOut{out: written}
	ended := make(chan error, 1)
	began, cancelled := make(chan struct{}), make(chan struct{})
	go func() {
		server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
		mcp.AddTool(server, &mcp.Tool{Name: "wait"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
			close(began)
			<-ctx.Done()
			close(cancelled)
			return nil, nil, ctx.Err()
		})
		ended <- server.Run(t.Context(), protocolTransport{&mcp.IOTransport{Reader: newProtocolIn(in, out), Writer: out}})
		written.Close()
	}()
	answers := bufio.NewReader(fromServer)
	send := func(line string) {
		t.Helper()
		if _, err := io.WriteString(toServer, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	exchange := func(line string, want ...string) {
		t.Helper()
		send(line)
		answer, err := answers.ReadString('\n')
		for _, part := range want {
			if err != nil || !strings.Contains(answer, part) {
				t.Fatalf("%s: %s, %v", line, answer, err)
			}
		}
	}
	const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`
	exchange(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, `"code":-32600`, `"id":1`)
	exchange(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":5}}`, `"code":-32602`, `"id":1`)
	exchange(initialize, `"result"`)
	exchange(initialize, `"code":-32600`, "duplicate")
	exchange(`{"jsonrpc":"2.0","id":null,"method":"ping"}`, `"code":-32600`, `"id":null`)
	send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":9}}`) // nothing has it yet
	exchange(strings.Replace(ping, `"id":1`, `"id":9`, 1), `"id":9`)
	send(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"wait","arguments":{}}}`)
	<-began
	send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`)
	<-cancelled
	exchange(strings.Replace(ping, `"id":1`, `"id":8`, 1), `"id":8`)
	toServer.Close()
	if rest, err := io.ReadAll(answers); err != nil || len(rest) > 0 {
		t.Errorf("after the end: %s, %v", rest, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the session ended with %v", err)
	}
}
