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

	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// providersCmd shows the providers.
type providersCmd struct {
	settings.Client

	Names []string `arg:"" optional:"" name:"name" help:"Print all details of these providers; without a name, a table of all providers."`
	JSON  bool     `name:"json" help:"Print a JSON object for each provider; after a failure, its name and the error."`
}

// providerFailure is the JSON line of a provider after a failure.
type providerFailure struct {
	Name  string            `json:"name"`
	Error *report.JSONError `json:"error"`
}

// Run prints a table, or the details of those named.
func (c *providersCmd) Run(ctx context.Context, std terminal.Streams) error {
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	if len(c.Names) > 0 {
		return c.details(ctx, gateway, std)
	}
	all, err := gateway.Providers(ctx)
	if err != nil {
		return report.Advise(err)
	}
	if !c.JSON {
		return printProviders(std.Out, all)
	}
	for _, p := range all {
		if err := terminal.PrintJSON(std.Out, p); err != nil {
			return err
		}
	}
	return nil
}

func (c *providersCmd) details(ctx context.Context, gateway *client.Client, std terminal.Streams) error {
	var results report.Tally
	for _, name := range c.Names {
		p, err := gateway.Provider(ctx, name)
		if report.StopsAll(ctx, err) {
			return report.Advise(err)
		}
		results.Add(err)
		switch {
		case err != nil:
			terminal.PrintError(std.Err, name, err)
			if c.JSON {
				err = terminal.PrintJSON(std.Out, providerFailure{name, report.NewJSONError(err)})
			} else {
				err = nil
			}
		case c.JSON:
			err = terminal.PrintJSON(std.Out, p)
		default:
			err = printProvider(std.Out, p)
		}
		if err != nil {
			return err
		}
	}
	return results.Err(ctx)
}

// printProviders prints a table of the providers that are configured, and how to
// configure the others.
func printProviders(w io.Writer, all []api.Provider) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROVIDER\tAVAILABLE\tSIMULATED\tFILES\tBYTES\tBREAKER\tLAST CHECK\tLAST ERROR")
	for _, p := range all {
		if !p.Configured {
			fmt.Fprintf(t, "%s\tnot configured: %s\n", terminal.Printable(p.Name), terminal.Printable(p.Advice))
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", terminal.Printable(p.Name), terminal.YesNo(p.Available), terminal.YesNo(p.Simulated),
			ofMost(p.Files, p.MaxFiles, countText), ofMost(p.Bytes, p.MaxBytes, terminal.Size),
			cmp.Or(p.Breaker, "-"), terminal.OptionalTime(p.LastCheck, "never"), report.ProviderError(p.LastError))
	}
	return t.Flush()
}

func countText(n int64) string { return fmt.Sprint(n) }

// ofMost formats how much is used, and the limit. A limit of 0 is none.
func ofMost(used, most int64, text func(int64) string) string {
	if most == 0 {
		return text(used)
	}
	return text(used) + " of " + text(most)
}

// printProvider prints all details of a provider.
func printProvider(w io.Writer, p api.Provider) error {
	out := &terminal.Lines{W: w}
	out.Printf("%s", terminal.Printable(p.Name))
	if !p.Configured {
		out.Printf("  not configured: %s", terminal.Printable(p.Advice))
		return out.Err
	}
	out.Printf("  available   %s", terminal.YesNo(p.Available))
	if p.Simulated {
		out.Printf("  simulated   yes: a simulator in the gateway, good for nothing but trying casgate out")
	}
	out.Printf("  host        %s", terminal.Printable(p.Host))
	out.Printf("  account     %s", terminal.Printable(p.Account))
	out.Printf("  files       %s", ofMost(p.Files, p.MaxFiles, countText))
	out.Printf("  bytes       %s", ofMost(p.Bytes, p.MaxBytes, terminal.Size))
	if l := p.Listed; l != nil {
		out.Printf("  listed      %d files with %s of this installation, %d with %s of others, at %s", l.Files, terminal.Size(l.Bytes), l.OthersFiles, terminal.Size(l.OthersBytes), terminal.Time(l.At, ""))
	}
	out.Printf("  breaker     %s", cmp.Or(p.Breaker, "-"))
	out.Printf("  last check  %s", terminal.OptionalTime(p.LastCheck, "never"))
	if p.LastError != nil {
		out.Printf("  last error  %s", report.ProviderError(p.LastError))
		if p.LastError.Hint != "" {
			out.Printf("              → %s", terminal.Printable(p.LastError.Hint))
		}
	}
	if p.HeldUntil != nil {
		out.Printf("  held until  %s: the provider limits the rate of uploads", terminal.Time(*p.HeldUntil, ""))
	}
	for _, purpose := range p.Purposes {
		out.Printf("  purpose %s", terminal.Printable(purpose.Name))
		out.Printf("    files       %s", ofMost(purpose.Files, purpose.MaxFiles, countText))
		out.Printf("    bytes       %s", ofMost(purpose.Bytes, purpose.MaxBytes, terminal.Size))
		out.Printf("    file size   %s", sizeLimits(purpose))
		out.Printf("    extensions  %s", cmp.Or(terminal.Printable(strings.Join(purpose.Extensions, " ")), "any"))
		if purpose.Lifetime > 0 {
			out.Printf("    kept for    %s", time.Duration(purpose.Lifetime)*time.Second)
		}
	}
	return out.Err
}

// sizeLimits formats the size limits of the files of a purpose.
func sizeLimits(p api.Purpose) string {
	text := "no limit stated"
	if p.MaxSize > 0 {
		text = terminal.Size(p.MaxSize) + " at most"
	}
	for _, extension := range slices.Sorted(maps.Keys(p.MaxSizeOf)) {
		text += fmt.Sprintf(", %s of %s", terminal.Size(p.MaxSizeOf[extension]), terminal.Printable(extension))
	}
	return text
}
