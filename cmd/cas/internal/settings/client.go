package settings

import (
	"fmt"
	"os"
	"strings"

	"casgate/cmd/cas/internal/build"
	"casgate/cmd/cas/internal/exit"
	"casgate/gateway/client"
)

// Client is how the client commands find the gateway.
type Client struct {
	Data
	URL   string `name:"url" env:"CAS_URL" default:"http://127.0.0.1:8080" help:"The gateway's URL." placeholder:"URL"`
	Token Secret `kong:"-" secret:"CAS_TOKEN" help:"API token; without it, the file admin-token in the data folder"`
}

// Connect returns a client of the gateway. It sends nothing. The caller must close it.
func (c Client) Connect() (*client.Client, error) {
	token, err := c.readToken()
	if err != nil {
		return nil, err
	}
	gateway, err := ClientOf(c.URL, client.Options{Token: token})
	if err != nil {
		return nil, fmt.Errorf("%w (see CAS_URL and CAS_TOKEN)", err)
	}
	return gateway, nil
}

// ClientOf returns a client of the gateway at a URL. It sends nothing. The caller must
// close it.
func ClientOf(url string, o client.Options) (*client.Client, error) {
	o.UserAgent = "cas/" + build.Version()
	gateway, err := client.New(url, o)
	return gateway, exit.With(exit.Usage, err)
}

// readToken returns the token that is set, else the admin token that a gateway on this
// machine wrote to its data folder, else "".
func (c Client) readToken() (string, error) {
	if c.Token != "" {
		return c.Token.Reveal(), nil
	}
	b, err := os.ReadFile(c.Path(AdminTokenFile))
	if os.IsNotExist(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the admin token; set CAS_TOKEN instead: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
