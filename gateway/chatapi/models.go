package chatapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"
	"golang.org/x/sync/singleflight"

	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/providers"
)

const (
	// listLife is how long a list of models counts, and listRetry when it is asked for
	// again after a failure. Until then the old list counts. Without an old one it is asked
	// for again soon, since names of models alone can't be used until it is known.
	listLife      = 10 * time.Minute
	listRetry     = 10 * time.Second
	listRetrySoon = time.Second
	// listOld is the age from which a client waits for a fresh list. Before that it gets the
	// old one, while the list is asked for.
	listOld = time.Hour
	// listTimeout bounds one request for a list, and maxList its answer, in bytes.
	listTimeout = 3 * time.Second
	maxList     = 4 << 20
	// shownModels is the number of models that an error names.
	shownModels = 20
)

// catalogue knows the models of the providers that have chats.
type catalogue struct {
	providers []string // in the order of the settings
	// unconfigured are known providers without a key.
	unconfigured []string
	chats        map[string]providers.ChatAPI
	urls         map[string]*url.URL // of the chats
	accounts     map[string]providers.Guarded
	owners       map[string]string // owned_by of the provider's models
	aliases      map[string]string
	client       *http.Client
	log          zerolog.Logger
	flights      singleflight.Group

	mu    sync.Mutex
	lists map[string]modelList
}

// modelList is what a provider's list was when it was last asked for.
type modelList struct {
	models []api.Model
	got    time.Time // when the provider had these models
	err    error
	until  time.Time // when to ask again
}

func newCatalogue(copies Replicator, o Options, log zerolog.Logger) (*catalogue, error) {
	c := &catalogue{
		chats: map[string]providers.ChatAPI{}, urls: map[string]*url.URL{}, accounts: map[string]providers.Guarded{}, owners: map[string]string{}, aliases: o.Aliases, lists: map[string]modelList{}, log: log,
		client: &http.Client{
			Transport: o.Transport, Timeout: listTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the key stays at its host
		},
	}
	_, c.unconfigured = copies.Providers()
	for _, account := range copies.Accounts() {
		chatter, ok := providers.Ability[providers.Chatter](account)
		if !ok {
			continue
		}
		name := account.Describe().Provider
		c.providers = append(c.providers, name)
		c.chats[name], c.accounts[name], c.owners[name] = chatter.Chat(), account, name
		if account.Describe().Simulated {
			c.owners[name] = simulatedOwner
		}
		address, err := url.Parse(c.chats[name].URL)
		if err != nil {
			return nil, fmt.Errorf("chat: the URL of %s: %w", name, err)
		}
		c.urls[name] = address
	}
	return c, nil
}

// simulatedOwner is the owned_by of models of a simulator in the gateway's own process.
const simulatedOwner = "casgate-simulator"

// target is where a request goes.
type target struct {
	provider string
	model    string // the provider's own name for it
	chat     providers.ChatAPI
	url      *url.URL // of chat; shared, so it must not change
	account  providers.Guarded
}

// find returns the provider and the model that a name means at a door.
func (c *catalogue) find(ctx context.Context, door Door, name string) (target, error) {
	if door.Provider != "" {
		return c.at(door.Provider, name) // its own name there, also if it begins with the provider's
	}
	if alias, ok := c.aliases[name]; ok {
		name = alias
	}
	if provider, model, ok := strings.Cut(name, "/"); ok && model != "" {
		if _, known := c.chats[provider]; known || slices.Contains(c.unconfigured, provider) {
			return c.at(provider, model)
		}
	}
	var having []string
	lists, failed, err := c.all(ctx)
	for i, provider := range c.providers {
		if slices.ContainsFunc(lists[i], func(m api.Model) bool { return m.ID == name }) {
			having = append(having, provider)
		}
	}
	switch {
	case len(having) < 2 && len(failed) > 0: // another provider must not get what is meant for one of them
		advice := fmt.Sprintf("so %.200q may be one of them; name the provider, as in %s/%.200s", name, cmp.Or(strings.Join(having, ""), failed[0]), name)
		if errors.Is(err, errUnreadable) { // a later request has no better chance
			return target{}, problem.New(problem.ModelNotFound, fmt.Sprintf("the models of %s are not known (%.200s), %s", listed(failed), err, advice))
		}
		return target{}, unavailable(failed[0], fmt.Errorf("the models of %s are not known at the moment, %s", listed(failed), advice))
	case len(having) == 1:
		return c.at(having[0], name)
	}
	return target{}, c.notFound(name, having, lists)
}

func (c *catalogue) at(provider, model string) (target, error) {
	chat, ok := c.chats[provider]
	if !ok {
		why := "has no chats"
		if slices.Contains(c.unconfigured, provider) {
			why = "has no key at this gateway; GET /v1/providers says how to configure it"
		}
		return target{}, problem.New(problem.ModelNotFound, fmt.Sprintf("%.100q %s; providers with chats are %s", provider, why, listed(c.providers)))
	}
	return target{provider, model, chat, c.urls[provider], c.accounts[provider]}, nil
}

// notFound says which models there are.
func (c *catalogue) notFound(name string, having []string, lists [][]api.Model) error {
	if len(having) > 1 {
		for i, provider := range having {
			having[i] = provider + "/" + name
		}
		return problem.New(problem.ModelNotFound, fmt.Sprintf("%.200q is a model of several providers; name one: %s", name, listed(having)))
	}
	known := slices.Sorted(maps.Keys(c.aliases))
	for i, provider := range c.providers {
		for _, m := range lists[i] {
			known = append(known, provider+"/"+m.ID)
		}
	}
	return problem.New(problem.ModelNotFound, fmt.Sprintf("there is no model %.200q; there are %s", name, listed(known)))
}

// listed joins names, and leaves out those that are too many.
func listed(names []string) string {
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > shownModels:
		return strings.Join(names[:shownModels], ", ") + fmt.Sprintf(" and %d more (GET /v1/models)", len(names)-shownModels)
	}
	return strings.Join(names, ", ")
}

// all returns the list of each provider, in the order of c.providers, and the providers
// whose list could not be had. The error is that of one of these, and preferably
// errUnreadable.
func (c *catalogue) all(ctx context.Context) (lists [][]api.Model, failed []string, failure error) {
	lists, errs := make([][]api.Model, len(c.providers)), make([]error, len(c.providers))
	var wait sync.WaitGroup
	for i, provider := range c.providers {
		wait.Go(func() { lists[i], errs[i] = c.list(ctx, provider) })
	}
	wait.Wait()
	for i, err := range errs {
		if err != nil && lists[i] == nil {
			failed = append(failed, c.providers[i])
			if failure == nil || errors.Is(err, errUnreadable) {
				failure = err
			}
		}
	}
	return lists, failed, failure
}

// list returns the models of a provider. With an error, the list is an earlier one. An
// earlier one that is not old comes at once, and the next client gets the fresh one.
func (c *catalogue) list(ctx context.Context, provider string) ([]api.Model, error) {
	c.mu.Lock()
	known, ok := c.lists[provider]
	c.mu.Unlock()
	if ok && time.Now().Before(known.until) {
		return known.models, known.err
	}
	done := c.flights.DoChan(provider, func() (any, error) {
		// The next client needs the list, too, if this one leaves.
		return c.refresh(context.WithoutCancel(ctx), provider, known), nil
	})
	if known.models != nil && time.Since(known.got) < listOld {
		return known.models, known.err
	}
	select {
	case result := <-done:
		fresh, _ := result.Val.(modelList)
		return fresh.models, fresh.err
	case <-ctx.Done():
		return known.models, ctx.Err()
	}
}

// refresh asks for a provider's list, and keeps it. The known one stays if it can't be had.
func (c *catalogue) refresh(ctx context.Context, provider string, known modelList) modelList {
	models, err := c.fetch(ctx, c.chats[provider])
	now := time.Now()
	fresh := modelList{models: models, got: now, until: now.Add(listLife)}
	if err != nil {
		c.log.Warn().Err(err).Str("provider", provider).Msg("could not get the list of a provider's models")
		fresh = modelList{models: known.models, got: known.got, err: err, until: now.Add(listRetry)}
		if known.models == nil {
			fresh.until = now.Add(listRetrySoon)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lists[provider] = fresh
	return fresh
}

// errUnreadable: a provider answers with a list of models that is too large, or none.
var errUnreadable = errors.New("the list of models can't be read")

// fetch asks a provider for its models.
func (c *catalogue) fetch(ctx context.Context, chat providers.ChatAPI) ([]api.Model, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, chat.ModelsURL, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	chat.Authorize(r)
	answer, err := c.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return []api.Model{}, nil // the provider has no list: its models need its name
	default:
		return nil, fmt.Errorf("the list of models is answered %d", answer.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxList+1))
	if err != nil {
		return nil, fmt.Errorf("the list of models: %w", err)
	}
	if len(text) > maxList {
		return nil, fmt.Errorf("%w: it has more than %d bytes", errUnreadable, maxList)
	}
	var list struct {
		Data []json.RawMessage
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&list); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	models := make([]api.Model, 0, len(list.Data))
	seen := map[string]bool{}
	for _, entry := range list.Data {
		var m struct {
			ID      string
			Created any // a number, but nothing depends on it
		}
		if err := json.Unmarshal(entry, &m); err != nil || m.ID == "" || seen[m.ID] {
			continue // one odd entry costs no others
		}
		seen[m.ID] = true
		created, _ := m.Created.(float64)
		models = append(models, api.Model{ID: m.ID, Created: int64(created)})
	}
	return models, nil
}

// Models answers GET /v1/models. At a provider's own door, the models have the provider's
// own names.
func (h *Handlers) Models(door Door) echo.HandlerFunc {
	return func(c echo.Context) error {
		models, err := h.visibleModels(c.Request().Context(), door)
		if err != nil {
			return err
		}
		return respond.OwnJSON(c, http.StatusOK, api.ModelList{Object: "list", Data: models})
	}
}

// Model answers GET /v1/models/{id…}. An id may have slashes.
func (h *Handlers) Model(door Door) echo.HandlerFunc {
	return func(c echo.Context) error {
		id, err := request.PathParam(c, "*")
		if err != nil {
			return err
		}
		ctx := c.Request().Context()
		models, err := h.visibleModels(ctx, door)
		if err != nil {
			return err
		}
		for _, m := range models {
			if m.ID == id {
				return respond.OwnJSON(c, http.StatusOK, m)
			}
		}
		found, err := h.models.find(ctx, door, id)
		if err != nil {
			return problem.WithParam("model", err)
		}
		for _, m := range models {
			if m.ID == found.name(door) {
				return respond.OwnJSON(c, http.StatusOK, m)
			}
		}
		if known, err := h.models.list(ctx, found.provider); err != nil && known == nil {
			return unavailable(found.provider, fmt.Errorf("its list of models can't be had: %w", err))
		}
		return problem.WithParam("model", problem.New(problem.ModelNotFound, fmt.Sprintf("%s lists no model %.200q", found.provider, found.model)))
	}
}

// name returns the name of the model at a door.
func (t target) name(door Door) string {
	if door.Provider != "" {
		return t.model
	}
	return t.provider + "/" + t.model
}

// visibleModels returns the models at a door: the aliases first. A model that an alias hides
// is not among them, nor is an alias of a provider without chats here.
func (h *Handlers) visibleModels(ctx context.Context, door Door) ([]api.Model, error) {
	if door.Provider != "" {
		if _, err := h.models.at(door.Provider, ""); err != nil {
			return nil, err
		}
		models, err := h.models.list(ctx, door.Provider)
		if err != nil && models == nil {
			return nil, unavailable(door.Provider, fmt.Errorf("its list of models can't be had: %w", err))
		}
		return h.models.shown(models, door, door.Provider), nil
	}
	lists, _, _ := h.models.all(ctx)
	all := []api.Model{}
	for _, alias := range slices.Sorted(maps.Keys(h.models.aliases)) {
		provider, model, _ := strings.Cut(h.models.aliases[alias], "/")
		if _, ok := h.models.chats[provider]; !ok {
			continue
		}
		all = append(all, api.Model{ID: alias, Object: api.ObjectModel, OwnedBy: cmp.Or(h.models.owners[provider], provider), Created: createdOf(lists, h.models.providers, provider, model)})
	}
	for i, provider := range h.models.providers {
		for _, m := range h.models.shown(lists[i], door, provider) {
			if _, hidden := h.models.aliases[m.ID]; !hidden {
				all = append(all, m)
			}
		}
	}
	return all, nil
}

// shown gives a provider's models the names that they have at a door.
func (c *catalogue) shown(models []api.Model, door Door, provider string) []api.Model {
	all := make([]api.Model, 0, len(models))
	for _, m := range models {
		m.ID, m.Object, m.OwnedBy = target{provider: provider, model: m.ID}.name(door), api.ObjectModel, c.owners[provider]
		all = append(all, m)
	}
	return all
}

// createdOf returns when a model was made, or 0.
func createdOf(lists [][]api.Model, names []string, provider, model string) int64 {
	i := slices.Index(names, provider)
	if i < 0 {
		return 0
	}
	for _, m := range lists[i] {
		if m.ID == model {
			return m.Created
		}
	}
	return 0
}

// unavailable returns the error for a provider that gave no answer.
func unavailable(provider string, cause error) error {
	e := &providers.Error{
		Provider: provider, Op: providers.OpChat, Kind: providers.KindTransient, Code: providers.CodeUnavailable,
		Message: fmt.Sprintf("the provider gave no answer: %.200s", cause), Cause: cause,
	}
	if errors.Is(cause, errNoAnswer) || errors.Is(cause, errSilent) {
		e.Code, e.Message = providers.CodeTimeout, cause.Error()
	}
	return e
}
