package service

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Certificate is a TLS certificate with its key, from two PEM files. It is read again when
// one of the files changes, so that a renewal needs no restart.
type Certificate struct {
	certPath, keyPath string
	log               zerolog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	read    [2]os.FileInfo // the files as they were last read
	checked time.Time
}

// certificateCheck is how often the files are looked at, at most. A look is two calls of
// stat.
const certificateCheck = time.Second

// OpenCertificate reads the files. An error says which setting is wrong.
func OpenCertificate(certPath, keyPath string, registry *prometheus.Registry, log zerolog.Logger) (*Certificate, error) {
	c := &Certificate{certPath: certPath, keyPath: keyPath, log: log}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("certificate of CAS_TLS_CERT_FILE and CAS_TLS_KEY_FILE: %w", err)
	}
	c.warn()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "casgate_tls_certificate_expiry_timestamp_seconds",
		Help: "Unix time at which the TLS certificate in use expires.",
	}, func() float64 {
		c.mu.Lock()
		defer c.mu.Unlock()
		return float64(c.current.Leaf.NotAfter.Unix())
	}))
	return c, nil
}

// ErrCertificateExpired: clients refuse the certificate.
var ErrCertificateExpired = errors.New("the TLS certificate has expired")

// renewalTime is the time before its end in which a certificate should have been renewed.
const renewalTime = 14 * 24 * time.Hour

// CheckValidity returns an error if the certificate is not valid at a time, or not for long
// after it.
func CheckValidity(leaf *x509.Certificate, now time.Time) error {
	switch ends := leaf.NotAfter.UTC().Format(time.RFC3339); {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("%w: it was valid until %s", ErrCertificateExpired, ends)
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the TLS certificate is not valid before %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	case leaf.NotAfter.Sub(now) < renewalTime:
		return fmt.Errorf("the TLS certificate expires soon: it is valid until %s", ends)
	}
	return nil
}

// warn logs that clients refuse the current certificate, or will soon.
func (c *Certificate) warn() {
	if err := CheckValidity(c.current.Leaf, time.Now()); err != nil {
		c.log.Warn().Err(err).Msg("clients refuse the TLS certificate, or will soon")
	}
}

// Config returns the configuration of a server with the certificate.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.latest(), nil
		},
	}
}

// latest returns the certificate of the files. If they can't be used, it returns the last
// one that could: a renewal may have written only one of the two so far.
func (c *Certificate) latest() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) < certificateCheck || !c.hasChanged() {
		return c.current
	}
	if err := c.load(); err != nil {
		c.log.Warn().Err(err).Msg("the new TLS certificate can't be used; going on with the one before")
	} else {
		c.log.Info().Time("expires", c.current.Leaf.NotAfter).Msg("using a new TLS certificate")
		c.warn()
	}
	return c.current
}

// hasChanged reports whether one of the files is another than the one read.
func (c *Certificate) hasChanged() bool {
	c.checked = time.Now()
	for i, path := range []string{c.certPath, c.keyPath} {
		now, err := os.Stat(path)
		if err != nil {
			continue // between two renames there may be no file
		}
		before := c.read[i]
		if before == nil || !os.SameFile(before, now) || !before.ModTime().Equal(now.ModTime()) || before.Size() != now.Size() {
			return true
		}
	}
	return false
}

// load reads both files. It remembers them even if they can't be used, so that one fault is
// logged once.
func (c *Certificate) load() error {
	for i, path := range []string{c.certPath, c.keyPath} {
		// Before the content: a change in between counts as one.
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		c.read[i] = info
	}
	pair, err := tls.LoadX509KeyPair(c.certPath, c.keyPath)
	if err != nil {
		return err
	}
	c.current = &pair
	return nil
}
