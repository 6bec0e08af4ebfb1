package index

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag"
	"github.com/llmctl/studio/internal/rag/index/dbsqlc"
	"github.com/llmctl/studio/internal/run"
)

// Origin is who asked for an index run.
type Origin struct {
	UserID                   *int64
	RequestID, CorrelationID string
}

// StartRequest asks for an index run of one source.
type StartRequest struct {
	SourceID     int64
	Mode         string // rag.Fresh or rag.Delta
	PlanFirst    bool   // it waits until somebody applies the plan
	OnlyFailedOf *int64 // tries the files again that failed in that run
	Origin       Origin
}

// Config is the config of a node of Kind.
type Config struct {
	Mode         string  `json:"mode"`
	SourceIDs    []int64 `json:"source_ids"`
	PlanFirst    bool    `json:"plan_first,omitempty"`
	OnlyFailedOf *int64  `json:"only_failed_of,omitempty"`
}

// Timeout is what an attempt may take that indexes, if its node does not say.
const Timeout = 24 * time.Hour

// How often a node run of Kind is tried when a source or a provider cannot be reached. A
// wait for a person does not count.
const (
	tries          = 3
	backoffSeconds = 15
)

// maxTitle is how many characters the title of a node may have.
const maxTitle = 100

// QueueOf names the queue that sources of a kind are indexed from.
func QueueOf(kind string) string {
	switch kind {
	case rag.KindGit:
		return "llmctl_studio.rag.git"
	case rag.KindDrive:
		return "llmctl_studio.rag.drive"
	}
	return "llmctl_studio.rag.index"
}

// QueueOfSources is QueueOf for a node that indexes several sources: that of their kind,
// if they have one, else that of local ones.
func (s *Service) QueueOfSources(ctx context.Context, q postgres.Querier, ids []int64) (string, error) {
	kinds, err := s.q.KindsOf(ctx, q, ids)
	if err != nil {
		return "", fmt.Errorf("look up kinds of sources: %w", err)
	}
	if len(kinds) == 1 {
		return QueueOf(kinds[0]), nil
	}
	return QueueOf(rag.KindLocal), nil
}

// ModeOf gives the execution mode of an index run.
func ModeOf(mode string) string {
	if mode == rag.Fresh {
		return run.ModeIndexing
	}
	return run.ModeDeltaIndexing
}

// StartTx makes an index run with its node run, its job and its events, all as part of
// tx. Errors: invalid (rag.invalid_index_request); not_found (rag.source_not_found);
// conflict (rag.source_active).
func (s *Service) StartTx(ctx context.Context, tx *postgres.Tx, req StartRequest) (run.NodeRun, RunDetail, error) {
	src, err := s.lockFree(ctx, tx, &req)
	if err != nil {
		return run.NodeRun{}, RunDetail{}, err
	}
	config, err := json.Marshal(Config{Mode: req.Mode, SourceIDs: []int64{src.ID}, PlanFirst: req.PlanFirst, OnlyFailedOf: req.OnlyFailedOf})
	if err != nil {
		return run.NodeRun{}, RunDetail{}, fmt.Errorf("encode config of an index run: %w", err)
	}
	n, err := s.o.Engine.StartNode(ctx, tx, run.NodeRequest{
		Kind: Kind, Title: clip("Index "+src.Name, maxTitle), Config: config, Queue: QueueOf(src.Kind), ExecutionMode: ModeOf(req.Mode),
		TimeoutSeconds: Timeout.Seconds(), MaxAttempts: tries, BackoffSeconds: backoffSeconds,
		UserID: req.Origin.UserID, RequestID: req.Origin.RequestID, CorrelationID: req.Origin.CorrelationID,
	})
	if err != nil {
		return run.NodeRun{}, RunDetail{}, err
	}
	row, err := s.insertRun(ctx, tx, src.ID, n.ID, req)
	if err != nil {
		return run.NodeRun{}, RunDetail{}, err
	}
	v, err := s.announce(ctx, tx, &row, &req.Origin, true)
	return n, v, err
}

// StartIndexTx is StartTx for those who only want to know the node run: schedules.
func (s *Service) StartIndexTx(ctx context.Context, tx *postgres.Tx, sourceID int64, mode string, by Origin) (int64, error) {
	n, _, err := s.StartTx(ctx, tx, StartRequest{SourceID: sourceID, Mode: mode, Origin: by})
	return n.ID, err
}

// RetriedTx makes the index runs of a node that runs another one again, in the transaction
// that makes the node: two retries at once do not both begin. Errors are those of StartTx.
func (s *Service) RetriedTx(ctx context.Context, tx *postgres.Tx, n *run.NodeRun) error {
	var c Config
	if err := json.Unmarshal(n.Config, &c); err != nil {
		return fmt.Errorf("read config of node run %d: %w", n.ID, err)
	}
	by := Origin{RequestID: n.RequestID, CorrelationID: n.CorrelationID}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(c.SourceIDs))) {
		req := StartRequest{SourceID: id, Mode: c.Mode, PlanFirst: c.PlanFirst, OnlyFailedOf: c.OnlyFailedOf}
		src, err := s.lockFree(ctx, tx, &req)
		if err != nil {
			return err
		}
		row, err := s.insertRun(ctx, tx, src.ID, n.ID, req)
		if err != nil {
			return err
		}
		if _, err := s.announce(ctx, tx, &row, &by, true); err != nil {
			return err
		}
	}
	return nil
}

// lockFree locks the source of a request that can be done, and that no run works on.
func (s *Service) lockFree(ctx context.Context, tx *postgres.Tx, req *StartRequest) (dbsqlc.LockSourceRow, error) {
	src, err := s.q.LockSource(ctx, tx, req.SourceID)
	if postgres.NotFound(err) {
		return src, errs.Ef(errs.NotFound, "rag.source_not_found", "There is no source %d.", req.SourceID)
	}
	if err != nil {
		return src, fmt.Errorf("lock source %d: %w", req.SourceID, err)
	}
	if err := s.checkStart(ctx, tx, req); err != nil {
		return src, err
	}
	return src, s.refuseActive(ctx, tx, src.ID, src.Name)
}

func (s *Service) checkStart(ctx context.Context, q postgres.Querier, req *StartRequest) error {
	const reason = "rag.invalid_index_request"
	if req.Mode != rag.Fresh && req.Mode != rag.Delta {
		return errs.E(errs.Invalid, reason, fmt.Sprintf("The mode is %q; accepted are %s and %s.", req.Mode, rag.Fresh, rag.Delta),
			errs.Detail{Location: "mode", Message: "must be fresh or delta"})
	}
	if req.OnlyFailedOf == nil {
		return nil
	}
	bad := func(format string, a ...any) error {
		why := fmt.Sprintf(format, a...)
		return errs.E(errs.Invalid, reason, "The files of that index run cannot be tried again: "+why+".", errs.Detail{Location: "only_failed_of", Message: why})
	}
	if req.Mode != rag.Delta {
		return bad("only a delta does that, not %q", req.Mode)
	}
	old, err := s.q.GetRun(ctx, q, *req.OnlyFailedOf)
	switch {
	case postgres.NotFound(err):
		return bad("there is no index run %d", *req.OnlyFailedOf)
	case err != nil:
		return fmt.Errorf("load index run %d: %w", *req.OnlyFailedOf, err)
	case old.RagSourceID != req.SourceID:
		return bad("index run %d was one of source %d", old.ID, old.RagSourceID)
	case old.Failed == 0:
		return bad("no file failed in index run %d", old.ID)
	}
	return nil
}

// refuseActive tells which node works on a source, if one does. The source is locked.
func (s *Service) refuseActive(ctx context.Context, q postgres.Querier, id int64, name string) error {
	active, err := s.q.ActiveRun(ctx, q, id)
	if postgres.NotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for an index run of source %d: %w", id, err)
	}
	return errs.E(errs.Conflict, "rag.source_active",
		fmt.Sprintf("%s is being indexed already, by node %d (index run %d, %s). Wait for its end, or cancel it.", name, active.NodeRunID, active.ID, active.Status),
		errs.Detail{Location: "node_id", Message: strconv.FormatInt(active.NodeRunID, 10)},
		errs.Detail{Location: "index_run_id", Message: strconv.FormatInt(active.ID, 10)})
}

func (s *Service) insertRun(ctx context.Context, tx *postgres.Tx, sourceID, nodeRunID int64, req StartRequest) (Run, error) {
	revision, err := s.q.NextRevision(ctx, tx, sourceID)
	if err != nil {
		return Run{}, fmt.Errorf("number a revision of source %d: %w", sourceID, err)
	}
	row, err := s.q.InsertRun(ctx, tx, dbsqlc.InsertRunParams{
		RagSourceID: sourceID, NodeRunID: nodeRunID, Mode: req.Mode, IndexRevision: revision, PlanFirst: req.PlanFirst, OnlyFailedOf: req.OnlyFailedOf,
	})
	if err != nil {
		return Run{}, fmt.Errorf("insert index run of source %d: %w", sourceID, err)
	}
	return row, nil
}

func clip(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	return string([]rune(text)[:limit-1]) + "…"
}
