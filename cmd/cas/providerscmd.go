package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"casgate/gateway/api"
	"casgate/gateway/client"
)

// providersCmd tells about the providers.
type providersCmd struct {
	clientConfig

	Names []string `arg:"" optional:"" name:"name" help:"Tell all there is to know of these providers; without a name, a little of each."`
	JSON  bool     `name:"json" help:"Print a JSON object for each provider; of one that can't be told about, its name and the error."`
}

// providerFailure is the JSON line of a provider that can't be told about.
type providerFailure struct {
	Name  string     `json:"name"`
	Error *jsonError `json:"error"`
}

// Run prints a table, or the details of those named.
func (c *providersCmd) Run(ctx context.Context, std stdio) error {
	gateway, err := c.connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	if len(c.Names) > 0 {
		return c.details(ctx, gateway, std)
	}
	all, err := gateway.Providers(ctx)
	if err != nil {
		return advise(err)
	}
	if !c.JSON {
		return printProviders(std.out, all)
	}
	for _, p := range all {
		if err := printJSON(std.out, p); err != nil {
			return err
		}
	}
	return nil
}

func (c *providersCmd) details(ctx context.Context, gateway *client.Client, std stdio) error {
	var results tally
	for _, name := range c.Names {
		p, err := gateway.Provider(ctx, name)
		if concernsAll(ctx, err) {
			return advise(err)
		}
		results.add(err)
		switch {
		case err != nil:
			printError(std.err, name, err)
			if c.JSON {
				err = printJSON(std.out, providerFailure{name, newJSONError(err)})
			} else {
				err = nil
			}
		case c.JSON:
			err = printJSON(std.out, p)
		default:
			err = printProvider(std.out, p)
		}
		if err != nil {
			return err
		}
	}
	return results.err(ctx)
}

// printProviders prints a table of the providers that are configured, and how to
// configure the others.
func printProviders(w io.Writer, all []api.Provider) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROVIDER\tAVAILABLE\tSIMULATED\tFILES\tBYTES\tBREAKER\tLAST CHECK\tLAST ERROR")
	for _, p := range all {
		if !p.Configured {
			fmt.Fprintf(t, "%s\tnot configured: %s\n", display(p.Name), display(p.Advice))
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", display(p.Name), yesNo(p.Available), yesNo(p.Simulated),
			ofMost(p.Files, p.MaxFiles, countText), ofMost(p.Bytes, p.MaxBytes, sizeText),
			cmp.Or(p.Breaker, "-"), optionalTimeText(p.LastCheck, "never"), providerErrorText(p.LastError))
	}
	return t.Flush()
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func countText(n int64) string { return fmt.Sprint(n) }

// ofMost is how much is used of how much there may be; 0 means without a bound.
func ofMost(used, most int64, text func(int64) string) string {
	if most == 0 {
		return text(used)
	}
	return text(used) + " of " + text(most)
}

func optionalTimeText(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return shortTime(*t, none)
}

// printProvider prints all there is to know of a provider.
func printProvider(w io.Writer, p api.Provider) error {
	out := &linePrinter{w: w}
	out.line("%s", display(p.Name))
	if !p.Configured {
		out.line("  not configured: %s", display(p.Advice))
		return out.err
	}
	out.line("  available   %s", yesNo(p.Available))
	if p.Simulated {
		out.line("  simulated   yes: a simulator in the gateway, good for nothing but trying casgate out")
	}
	out.line("  host        %s", display(p.Host))
	out.line("  account     %s", display(p.Account))
	out.line("  files       %s", ofMost(p.Files, p.MaxFiles, countText))
	out.line("  bytes       %s", ofMost(p.Bytes, p.MaxBytes, sizeText))
	out.line("  breaker     %s", cmp.Or(p.Breaker, "-"))
	out.line("  last check  %s", optionalTimeText(p.LastCheck, "never"))
	if p.LastError != nil {
		out.line("  last error  %s", providerErrorText(p.LastError))
		if p.LastError.Hint != "" {
			out.line("              → %s", display(p.LastError.Hint))
		}
	}
	for _, purpose := range p.Purposes {
		out.line("  purpose %s", display(purpose.Name))
		out.line("    files       %s", ofMost(purpose.Files, purpose.MaxFiles, countText))
		out.line("    bytes       %s", ofMost(purpose.Bytes, purpose.MaxBytes, sizeText))
		out.line("    file size   %s", sizeLimits(purpose))
		out.line("    extensions  %s", cmp.Or(display(strings.Join(purpose.Extensions, " ")), "any"))
		if purpose.Lifetime > 0 {
			out.line("    kept for    %s", time.Duration(purpose.Lifetime)*time.Second)
		}
	}
	return out.err
}

// sizeLimits says how large files of a purpose may be.
func sizeLimits(p api.Purpose) string {
	text := "no limit stated"
	if p.MaxSize > 0 {
		text = sizeText(p.MaxSize) + " at most"
	}
	for _, extension := range slices.Sorted(maps.Keys(p.MaxSizeOf)) {
		text += fmt.Sprintf(", %s of %s", sizeText(p.MaxSizeOf[extension]), display(extension))
	}
	return text
}
