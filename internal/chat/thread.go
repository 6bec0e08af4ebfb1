package chat

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/chat/dbsqlc"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Bounds of what a thread says of itself.
const (
	maxTitle     = 200
	maxSelected  = 50
	defaultTitle = "New thread"
)

// ThreadFields are what people choose for a thread.
type ThreadFields struct {
	Title              string // empty: one is made of the first message
	ModelID            *int64
	ResponseComplexity string // empty: the default of the settings
	MCPServerIDs       []int64
	SourceIDs          []int64
}

func notFound(id int64) error {
	return errs.Ef(errs.NotFound, "thread.not_found", "There is no thread %d.", id)
}

// lock gives a thread for a change. revision 0: whatever it is.
func (s *Service) lock(ctx context.Context, tx *postgres.Tx, id, revision int64) (Thread, error) {
	t, err := s.q.LockThread(ctx, tx, id)
	if postgres.NotFound(err) || err == nil && t.DeleteRequestedAt != nil {
		return t, notFound(id)
	}
	if err != nil {
		return t, fmt.Errorf("lock thread %d: %w", id, err)
	}
	if revision != 0 && t.Revision != revision {
		return t, errs.E(errs.Precondition, "thread.stale", "This thread has changed in the meantime. Load it again.")
	}
	return t, nil
}

// clean checks the fields; what they name must exist.
func (s *Service) clean(ctx context.Context, tx *postgres.Tx, f *ThreadFields) error {
	var details []errs.Detail
	fault := func(where, format string, args ...any) {
		details = append(details, errs.Detail{Location: "body." + where, Message: fmt.Sprintf(format, args...)})
	}
	f.Title = strings.Join(strings.Fields(f.Title), " ")
	if n := utf8.RuneCountInString(f.Title); n > maxTitle {
		fault("title", "has %d characters; at most %d are kept", n, maxTitle)
	}
	if !slices.Contains(Complexities(), f.ResponseComplexity) {
		fault("response_complexity", "is %q; accepted are %v", f.ResponseComplexity, Complexities())
	}
	if f.ModelID != nil {
		switch m, err := s.o.Models.Model(ctx, tx, *f.ModelID); {
		case errs.Is(err, errs.NotFound):
			fault("model_id", "there is no model %d", *f.ModelID)
		case err != nil:
			return err
		case m.Embeds:
			fault("model_id", "model %d (%s) makes vectors for retrieval and cannot answer; choose another one", m.ID, m.Name)
		}
	}
	for _, list := range []struct {
		name, what string
		ids        *[]int64
		missing    func(context.Context, postgres.Querier, []int64) ([]int64, error)
	}{
		{"mcp_server_ids", "MCP server", &f.MCPServerIDs, s.missingServers},
		{"source_ids", "source", &f.SourceIDs, s.missingSources},
	} {
		*list.ids = unique(*list.ids)
		if n := len(*list.ids); n > maxSelected {
			fault(list.name, "has %d entries; at most %d are accepted", n, maxSelected)
			continue
		}
		missing, err := list.missing(ctx, tx, *list.ids)
		if err != nil {
			return err
		}
		for _, id := range missing {
			fault(list.name, "there is no %s %d", list.what, id)
		}
	}
	if len(details) > 0 {
		return errs.E(errs.Invalid, "thread.invalid", "The thread cannot be stored like this.", details...)
	}
	return nil
}

func unique(ids []int64) []int64 {
	out := slices.Clone(notNil(ids))
	slices.Sort(out)
	return slices.Compact(out)
}

func (s *Service) missingServers(ctx context.Context, q postgres.Querier, ids []int64) ([]int64, error) {
	if s.o.Selectables == nil || len(ids) == 0 {
		return ids, nil
	}
	return s.o.Selectables.MissingMCPServers(ctx, q, ids)
}

func (s *Service) missingSources(ctx context.Context, q postgres.Querier, ids []int64) ([]int64, error) {
	if s.o.Selectables == nil || len(ids) == 0 {
		return ids, nil
	}
	return s.o.Selectables.MissingSources(ctx, q, ids)
}

// CreateTx makes a thread. Error: invalid.
func (s *Service) CreateTx(ctx context.Context, tx *postgres.Tx, f ThreadFields, by Origin) (Thread, error) {
	if f.ResponseComplexity == "" {
		set, _, err := LoadSettings(ctx, tx)
		if err != nil {
			return Thread{}, err
		}
		f.ResponseComplexity = set.DefaultComplexity
	}
	if err := s.clean(ctx, tx, &f); err != nil {
		return Thread{}, err
	}
	source := "user"
	if f.Title == "" {
		f.Title, source = defaultTitle, "default"
	}
	t, err := s.q.InsertThread(ctx, tx, dbsqlc.InsertThreadParams{
		Title: f.Title, TitleSource: source, ModelID: f.ModelID, ResponseComplexity: f.ResponseComplexity, McpServerIds: f.MCPServerIDs,
		SourceIds: f.SourceIDs, AppUserID: by.UserID,
	})
	if err != nil {
		return t, fmt.Errorf("insert thread: %w", err)
	}
	if err := s.note(ctx, tx, &t, deed{class: classLifecycle, action: "created", by: by}); err != nil {
		return t, err
	}
	return t, s.announceThread(tx, &t, false, changeCreated)
}

// UpdateTx changes what people choose for a thread; what a turn that is under way
// was asked with stays. Errors: not_found, precondition, invalid.
func (s *Service) UpdateTx(ctx context.Context, tx *postgres.Tx, id, revision int64, change func(*ThreadFields)) (Thread, error) {
	t, err := s.lock(ctx, tx, id, revision)
	if err != nil {
		return t, err
	}
	f := ThreadFields{
		Title: t.Title, ModelID: t.ModelID, ResponseComplexity: t.ResponseComplexity, MCPServerIDs: t.McpServerIds, SourceIDs: t.SourceIds,
	}
	change(&f)
	if err := s.clean(ctx, tx, &f); err != nil {
		return t, err
	}
	source := t.TitleSource
	switch {
	case f.Title == "":
		f.Title, source = defaultTitle, "default"
	case f.Title != t.Title:
		source = "user"
	}
	t, err = s.q.UpdateThread(ctx, tx, dbsqlc.UpdateThreadParams{
		ID: id, Title: f.Title, TitleSource: source, ModelID: f.ModelID, ResponseComplexity: f.ResponseComplexity, McpServerIds: f.MCPServerIDs,
		SourceIds: f.SourceIDs,
	})
	if err != nil {
		return t, fmt.Errorf("update thread %d: %w", id, err)
	}
	return t, s.changed(ctx, tx, &t, changeUpdated)
}

// changed announces a thread with whether it is busy.
func (s *Service) changed(ctx context.Context, tx *postgres.Tx, t *Thread, change string) error {
	unfinished, err := s.q.ListUnfinished(ctx, tx, t.ID)
	if err != nil {
		return fmt.Errorf("look for turns of thread %d: %w", t.ID, err)
	}
	return s.announceThread(tx, t, len(unfinished) > 0, change)
}

// ArchiveTx takes a thread out of the way; it takes no messages until it is
// restored. Errors: not_found, conflict while a turn has not ended.
func (s *Service) ArchiveTx(ctx context.Context, tx *postgres.Tx, id int64, by Origin) (Thread, error) {
	t, err := s.lock(ctx, tx, id, 0)
	if err != nil || t.Status == "archived" {
		return t, err
	}
	if err := s.refuseBusy(ctx, tx, id); err != nil {
		return t, err
	}
	if t, err = s.q.ArchiveThread(ctx, tx, id); err != nil {
		return t, fmt.Errorf("archive thread %d: %w", id, err)
	}
	if err := s.note(ctx, tx, &t, deed{class: classLifecycle, action: "archived", by: by}); err != nil {
		return t, err
	}
	return t, s.announceThread(tx, &t, false, changeArchived)
}

// RestoreTx brings an archived thread back, or a deleted one while there is time.
// Errors: not_found.
func (s *Service) RestoreTx(ctx context.Context, tx *postgres.Tx, id int64, by Origin) (Thread, error) {
	t, err := s.q.LockThread(ctx, tx, id)
	if postgres.NotFound(err) || err == nil && t.PurgeAt != nil && t.PurgeAt.Before(s.o.Now()) {
		return t, notFound(id)
	}
	if err != nil {
		return t, fmt.Errorf("lock thread %d: %w", id, err)
	}
	switch {
	case t.DeleteRequestedAt != nil: // as it was
		t, err = s.q.UndeleteThread(ctx, tx, id)
	case t.Status == "archived":
		t, err = s.q.RestoreThread(ctx, tx, id)
	default:
		return t, nil
	}
	if err != nil {
		return t, fmt.Errorf("restore thread %d: %w", id, err)
	}
	if err := s.note(ctx, tx, &t, deed{class: classLifecycle, action: "restored", by: by}); err != nil {
		return t, err
	}
	return t, s.changed(ctx, tx, &t, changeRestored)
}

// ClearTx removes all messages, turns and summaries of a thread. What it used stays
// counted. Errors: not_found, conflict while a turn has not ended.
func (s *Service) ClearTx(ctx context.Context, tx *postgres.Tx, id int64, by Origin) (Thread, error) {
	t, err := s.lock(ctx, tx, id, 0)
	if err != nil {
		return t, err
	}
	if err := s.refuseBusy(ctx, tx, id); err != nil {
		return t, err
	}
	count := t.MessageCount
	if t, err = s.q.ClearThread(ctx, tx, id); err != nil {
		return t, fmt.Errorf("clear thread %d: %w", id, err)
	}
	// Messages, compactions and what was sent along go with their branches.
	for _, remove := range []func(context.Context, dbsqlc.DBTX, int64) error{s.q.DeleteTurns, s.q.DeleteSentAttachments, s.q.DeleteBranches} {
		if err := remove(ctx, tx, id); err != nil {
			return t, fmt.Errorf("clear thread %d: %w", id, err)
		}
	}
	if err := s.note(ctx, tx, &t, deed{class: classLifecycle, action: "cleared", by: by, detail: map[string]any{"messages": count}}); err != nil {
		return t, err
	}
	return t, s.announceThread(tx, &t, false, changeCleared)
}

func (s *Service) refuseBusy(ctx context.Context, tx *postgres.Tx, id int64) error {
	unfinished, err := s.q.ListUnfinished(ctx, tx, id)
	if err != nil {
		return fmt.Errorf("look for turns of thread %d: %w", id, err)
	}
	if len(unfinished) > 0 {
		return errs.Ef(errs.Conflict, "thread.busy", "Turn %d of this thread has not ended yet (%s). Wait for it, or cancel it.", unfinished[0].ID, unfinished[0].Status)
	}
	return nil
}

// DeleteTx hides a thread; it is gone when the time to restore it is over. What is
// being answered is cancelled. Error: not_found.
func (s *Service) DeleteTx(ctx context.Context, tx *postgres.Tx, id, revision int64, by Origin) (Thread, error) {
	t, err := s.lock(ctx, tx, id, revision)
	if err != nil {
		return t, err
	}
	set, _, err := LoadSettings(ctx, tx)
	if err != nil {
		return t, err
	}
	unfinished, err := s.q.ListUnfinished(ctx, tx, id)
	if err != nil {
		return t, fmt.Errorf("look for turns of thread %d: %w", id, err)
	}
	for i := range unfinished {
		if _, err := s.cancel(ctx, tx, &t, unfinished[i].ID, by); err != nil {
			return t, err
		}
	}
	t, err = s.q.RequestThreadDelete(ctx, tx, dbsqlc.RequestThreadDeleteParams{ID: id, UndoSeconds: float64(set.UndoSeconds)})
	if err != nil {
		return t, fmt.Errorf("delete thread %d: %w", id, err)
	}
	if err := s.note(ctx, tx, &t, deed{class: classLifecycle, action: "deleted", by: by, detail: map[string]any{"messages": t.MessageCount}}); err != nil {
		return t, err
	}
	return t, s.announceThread(tx, &t, false, changeDeleted)
}

// purge removes the threads whose time to be restored is over, some at a time.
func (s *Service) purge(ctx context.Context) error {
	ids, err := s.q.ListPurgeable(ctx, s.o.DB)
	if err != nil {
		return fmt.Errorf("list deleted threads: %w", err)
	}
	for _, id := range ids {
		if err := s.purgeOne(ctx, id); err != nil {
			return err
		}
	}
	if _, err := s.q.RemoveUnsent(ctx, s.o.DB); err != nil {
		return fmt.Errorf("remove attachments that were not sent: %w", err)
	}
	return nil
}

func (s *Service) purgeOne(ctx context.Context, id int64) error {
	return s.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		t, err := s.q.LockThread(ctx, tx, id)
		if postgres.NotFound(err) || err == nil && (t.PurgeAt == nil || t.PurgeAt.After(s.o.Now())) {
			return nil // gone, or restored
		}
		if err != nil {
			return fmt.Errorf("lock thread %d: %w", id, err)
		}
		unfinished, err := s.q.ListUnfinished(ctx, tx, id)
		if err != nil {
			return fmt.Errorf("look for turns of thread %d: %w", id, err)
		}
		if len(unfinished) > 0 {
			return nil // its holder was told; the next sweep comes by
		}
		if _, err := s.q.DeleteThread(ctx, tx, id); err != nil {
			return fmt.Errorf("remove thread %d: %w", id, err)
		}
		return s.announceThread(tx, &t, false, changePurged)
	})
}

// Filter selects threads of a list.
type Filter struct {
	Status   string // empty: all
	Title    string // part of it; empty: all
	BeforeAt *time.Time
	BeforeID int64
	Limit    int32
}

// Listed is a thread of a list.
type Listed = dbsqlc.ListThreadsRow

// List gives threads, those with the newest activity first.
func (s *Service) List(ctx context.Context, f Filter) ([]Listed, error) {
	rows, err := s.q.ListThreads(ctx, s.o.DB, dbsqlc.ListThreadsParams{
		Status: f.Status, Title: escapeLike(f.Title), BeforeAt: f.BeforeAt, BeforeID: f.BeforeID, MaxRows: f.Limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list threads: %w", err)
	}
	return rows, nil
}

func escapeLike(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}
