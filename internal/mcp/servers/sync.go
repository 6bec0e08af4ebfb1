package servers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/llmctl/studio/internal/postgres"
)

// syncLock keeps two processes that start at once from making the same rows.
const syncLock = 0x6d6370 // "mcp"

// Sync makes the rows of the integrated servers follow from what is configured. It
// runs at start-up and when an integration is saved. What people set of a row
// (enabled, time-out, tools, approval) stays.
func (r *Registry) Sync(ctx context.Context, tx *postgres.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(syncLock)); err != nil {
		return fmt.Errorf("lock integrated servers: %w", err)
	}
	configured, err := r.integrationsIn(ctx, tx)
	if err != nil {
		return err
	}
	rows, err := r.q.ListIntegrated(ctx, tx)
	if err != nil {
		return fmt.Errorf("list integrated servers: %w", err)
	}
	for _, want := range catalog() {
		i := slices.IndexFunc(rows, func(s Server) bool { return s.ServerKey == want.key })
		var have *Server
		if i >= 0 {
			have = &rows[i]
		}
		if err := r.follow(ctx, tx, want, have, present(want, configured)); err != nil {
			return err
		}
	}
	return nil
}

func (r *Registry) follow(ctx context.Context, tx *postgres.Tx, want integrated, have *Server, present bool) error {
	switch {
	case !present && have == nil:
		return nil
	case !present:
		if _, err := r.q.DeleteServer(ctx, tx, have.ID); err != nil {
			return fmt.Errorf("delete integrated server %s: %w", want.key, err)
		}
		return r.announce(tx, have.ID, "deleted")
	}
	address := r.o.addressOf(want)
	if have == nil {
		f := NewFields(Entered{Key: want.key, Transport: StreamableHTTP, Config: Config{URL: address}})
		f.Name = want.name
		_, err := r.insert(ctx, tx, Integrated, f, Change{}, want.integrations)
		return err
	}
	f := fieldsOf(*have)
	if f.Config.URL == address && f.Name == want.name && slices.Equal(have.Integrations, orEmpty(want.integrations)) {
		return nil
	}
	f.Config.URL, f.Name = address, want.name
	have.Integrations = want.integrations
	_, err := r.store(ctx, tx, *have, f, Change{})
	return err
}

// present reports whether an integrated server exists: the Studio's own always,
// another one when any of its integrations is configured.
func present(want integrated, configured []Integration) bool {
	if len(want.integrations) == 0 {
		return true
	}
	return slices.ContainsFunc(configured, func(i Integration) bool { return i.Configured && slices.Contains(want.integrations, i.Key) })
}

// Warnings tell what a selected server lacks. They are for people and stop nothing:
// an integrated server may well do something without all of its integrations.
func (r *Registry) Warnings(ctx context.Context, of []Server) (map[int64][]string, error) {
	out := map[int64][]string{}
	configured, err := r.Integrations(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range of {
		out[s.ID] = warningsOf(s, configured)
	}
	return out, nil
}

func warningsOf(s Server, configured []Integration) []string {
	out := []string{}
	if !s.Enabled {
		out = append(out, "This server is disabled; its tools are not offered.")
	}
	for _, i := range configured {
		if slices.Contains(s.Integrations, i.Key) && !i.Configured {
			out = append(out, fmt.Sprintf("%s is not configured (missing: %s), so tools that need it will fail.", i.Name, strings.Join(i.Missing, ", ")))
		}
	}
	if s.ServerKey == ownKey && s.Enabled && !slices.ContainsFunc(ShownOf(s), func(h Shown) bool { return strings.EqualFold(h.Name, "Authorization") }) {
		out = append(out, "It takes an API key: make one in the settings, and set the header Authorization of this server to \"Bearer <API key>\".")
	}
	if s.AllowedTools != nil && len(s.AllowedTools) == 0 {
		out = append(out, "The list of allowed tools is empty, so no tool is offered.")
	}
	return out
}

// Pick gives the servers with the ids, in their order, and says which do not exist.
func (r *Registry) Pick(ctx context.Context, ids []int64) (found []Server, missing []int64, err error) {
	found, err = r.q.GetServers(ctx, r.o.DB, ids)
	if err != nil {
		return nil, nil, fmt.Errorf("load MCP servers: %w", err)
	}
	for _, id := range ids {
		if !slices.ContainsFunc(found, func(s Server) bool { return s.ID == id }) {
			missing = append(missing, id)
		}
	}
	return found, missing, nil
}

// Missing lists which of some servers do not exist, as a transaction sees it.
func (r *Registry) Missing(ctx context.Context, q postgres.Querier, ids []int64) ([]int64, error) {
	found, err := r.q.GetServers(ctx, q, ids)
	if err != nil {
		return nil, fmt.Errorf("load MCP servers: %w", err)
	}
	missing := []int64{}
	for _, id := range ids {
		if !slices.ContainsFunc(found, func(s Server) bool { return s.ID == id }) {
			missing = append(missing, id)
		}
	}
	return missing, nil
}
