package settings

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"casgate/cmd/cas/internal/build"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/client"
)

// tokenVariable is the variable of the API token.
const tokenVariable = "CAS_TOKEN"

// defaultURL is the gateway's URL if nothing else is set.
const defaultURL = "http://127.0.0.1:8080"

// Client is how the client commands find the gateway.
type Client struct {
	Data
	URL     string `name:"url" env:"CAS_URL" help:"The gateway's URL; that of the profile if empty, else http://127.0.0.1:8080." placeholder:"URL"`
	Profile string `name:"profile" env:"CAS_PROFILE" help:"Profile of the configuration file, as cas login keeps it; the last one if empty." placeholder:"NAME"`
	streams terminal.Streams
	Token   Secret `kong:"-" secret:"CAS_TOKEN" help:"API token; without it, that of the profile, else the file admin-token in the data folder, which goes only to the gateway of that folder: to its listen address, or to a loopback address"`
}

// AfterApply keeps the streams, on which a client says what it waits for, and warns of a
// configuration file that others can read. Kong calls it.
func (c *Client) AfterApply(std terminal.Streams) error {
	c.streams = std
	if path := ProfilesPath(); isShared(path) {
		fmt.Fprintf(std.Err, "cas: warning: other users may read the tokens in %s; run `chmod 600` on it\n", terminal.Printable(path))
	}
	return nil
}

// Connect returns a client of the gateway. It sends nothing. The caller must close it.
func (c Client) Connect() (*client.Client, error) {
	profile, err := c.profile()
	if err != nil {
		return nil, err
	}
	token, source, err := c.readToken(profile)
	if err != nil {
		return nil, err
	}
	gateway, err := ClientOf(c.baseURL(profile), client.Options{Token: token, TokenSource: source, Transport: c.streams.Transport, OnRetry: c.streams.Retrying})
	if err != nil {
		return nil, fmt.Errorf("%w (see CAS_URL and CAS_TOKEN)", err)
	}
	return gateway, nil
}

// ConnectWithout is Connect without a token.
func (c Client) ConnectWithout(o client.Options) (*client.Client, error) {
	profile, err := c.profile()
	if err != nil {
		return nil, err
	}
	return ClientOf(c.baseURL(profile), o)
}

// ClientOf returns a client of the gateway at a base URL. It sends nothing. The caller must
// close it.
func ClientOf(base string, o client.Options) (*client.Client, error) {
	o.UserAgent = "cas/" + build.Version()
	gateway, err := client.New(base, o)
	return gateway, exit.With(exit.Usage, err)
}

func (c Client) baseURL(p Profile) string { return cmp.Or(c.URL, p.URL, defaultURL) }

// profile returns the profile to use: the one that is named, else that of the URL, else the
// default one. A token never goes to another URL than that of its profile.
func (c Client) profile() (Profile, error) {
	all, err := ReadProfiles()
	switch {
	case err != nil && c.Profile == "" && c.URL != "" && c.Token != "":
		return Profile{}, nil // it would not be used
	case err != nil:
		return Profile{}, exit.With(exit.Usage, err)
	case c.Profile == "" && c.URL == "":
		return all.Profiles[all.Default], nil
	case c.Profile == "":
		found, _ := all.withURL(c.URL)
		return found, nil
	}
	found, ok := all.Profiles[c.Profile]
	switch {
	case !ok:
		return Profile{}, exit.Usagef("there is no profile %q in %s; `cas login URL --profile %s` makes it", c.Profile, ProfilesPath(), c.Profile)
	case c.URL != "" && !isSameGateway(c.URL, found.URL):
		return Profile{}, exit.Usagef("the profile %s is for %s, and the URL is %s; give one of them", c.Profile, found.URL, c.URL)
	}
	return found, nil
}

// readToken returns the token that is set, else that of the profile, else the admin token
// that a gateway on this machine wrote to its data folder, else "". Source says which one it is.
func (c Client) readToken(p Profile) (token, source string, err error) {
	switch {
	case c.Token != "":
		return c.Token.Reveal(), SecretSource(tokenVariable), nil
	case p.Token != "":
		return p.Token, fmt.Sprintf("the profile for %s in %s", p.URL, ProfilesPath()), nil
	case !c.ownsGateway(c.baseURL(p)):
		return "", "", nil
	}
	path := c.Path(AdminTokenFile)
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("reading the admin token; set CAS_TOKEN instead: %w", err)
	}
	return strings.TrimSpace(string(b)), path, nil
}

// ownsGateway reports whether a URL leads to this machine, or to the address at which the
// gateway of the data folder listens. The admin token goes to no other gateway.
func (d Data) ownsGateway(base string) bool {
	u, err := url.Parse(base)
	if err != nil {
		return false
	}
	if u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback() {
		return true
	}
	listen, err := os.ReadFile(d.Path(ListenFile))
	return err == nil && u.Host != "" && u.Host == strings.TrimSpace(string(listen))
}

// TokenPlaces names the places of a token, for the error of a request without one.
func TokenPlaces() string {
	data := Data{cmp.Or(os.Getenv("CAS_DATA_DIR"), DefaultDataDir())}
	return fmt.Sprintf("CAS_TOKEN and CAS_TOKEN_FILE (not set), %s (no profile for this URL) and %s (not there, or this URL is not that of its gateway)", cmp.Or(ProfilesPath(), "the configuration file"), data.Path(AdminTokenFile))
}
