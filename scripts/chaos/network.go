package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// link is the network between a gateway and a server.
type link struct {
	name  string
	port  int
	proxy *toxiproxy.Proxy
	// spoiled lets one fault at a time work on the link.
	spoiled sync.Mutex
}

// network makes links.
type network struct{ server *toxiproxy.ApiServer }

func newNetwork() network {
	return network{toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())}
}

// link starts a link to a port.
func (n network) link(name string, to int) (*link, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	l := &link{name: name, port: port, proxy: toxiproxy.NewProxy(n.server, name, address(port), address(to))}
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("link %s: %w", name, err)
	}
	return l, nil
}

// cut closes all connections, and refuses new ones for a while.
func (l *link) cut(lasting func()) error {
	l.proxy.Stop()
	lasting()
	return l.proxy.Start()
}

// The directions of a link.
var directions = []string{"upstream", "downstream"} // requests; answers

// slow delays all data for a while.
func (l *link) slow(lasting func()) error {
	return l.spoil("latency", map[string]any{"latency": 150, "jitter": 100}, directions, lasting)
}

// halfOpen loses all data of one direction for a while. The connections stay open until
// the end, and are closed then.
func (l *link) halfOpen(direction string, lasting func()) error {
	return l.spoil("timeout", map[string]any{"timeout": 0}, []string{direction}, lasting)
}

// spoil adds a toxic to the link for a while.
func (l *link) spoil(toxic string, attributes map[string]any, streams []string, lasting func()) error {
	var names []string
	for _, stream := range streams {
		name := toxic + "-" + stream
		text, err := json.Marshal(map[string]any{"name": name, "type": toxic, "stream": stream, "attributes": attributes})
		if err != nil {
			return err
		}
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(string(text))); err != nil {
			return fmt.Errorf("link %s: %s: %w", l.name, name, err)
		}
		names = append(names, name)
	}
	lasting()
	for _, name := range names {
		if err := l.proxy.Toxics.RemoveToxic(context.Background(), name); err != nil {
			return fmt.Errorf("link %s: end %s: %w", l.name, name, err)
		}
	}
	return nil
}
