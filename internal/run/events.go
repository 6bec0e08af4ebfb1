package run

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
)

// maxInlineState is how large an output may be to ride along in an event; a
// larger one is fetched by whoever wants it.
const maxInlineState = 8 << 10

// Stream names and rooms of contracts §4.

// StreamOfRun is the stream of everything that happens in a run.
func StreamOfRun(id int64) string { return "flowchart_run:" + strconv.FormatInt(id, 10) }

// StreamOfNode is the stream of a node run's own events: its run's, or for a
// quick node its own.
func StreamOfNode(n *NodeRun) string {
	if n.FlowchartRunID != nil {
		return StreamOfRun(*n.FlowchartRunID)
	}
	return "task:" + strconv.FormatInt(n.ID, 10)
}

// StreamOfLog is the stream of a node run's high-rate text.
func StreamOfLog(nodeRunID int64) string { return "node_log:" + strconv.FormatInt(nodeRunID, 10) }

func roomsOfRun(r *Run) []string {
	return []string{StreamOfRun(r.ID), "flowchart:" + strconv.FormatInt(r.FlowchartID, 10), "studio"}
}

// RoomsOfNode are the rooms of a node run's events. The studio room gets only
// what lists show, so it is added by the events that change a status.
func RoomsOfNode(n *NodeRun) []string {
	rooms := []string{"task:" + strconv.FormatInt(n.ID, 10)}
	if n.FlowchartRunID != nil {
		rooms = append(rooms, StreamOfRun(*n.FlowchartRunID))
	}
	if n.FlowchartID != nil {
		id := strconv.FormatInt(*n.FlowchartID, 10)
		rooms = append(rooms, "flowchart:"+id, "flowchart_node:"+id+"/"+n.FlowchartNodeID)
	}
	return rooms
}

type runPayload struct {
	FlowchartRun   View   `json:"flowchart_run"`
	StatusBefore   string `json:"status_before,omitempty"`
	FlowchartRunID int64  `json:"flowchart_run_id"`
	FlowchartID    int64  `json:"flowchart_id"`
	Status         string `json:"status"`
}

// announceRun appends that the run's status changed from before.
func (c *change) announceRun(ctx context.Context, before Status) error {
	r := &c.run
	view := ViewOf(r)
	if r.CancelRequestedAt != nil {
		var err error
		if view.Cancellation, err = c.e.Cancellation(ctx, c.tx, r); err != nil {
			return err
		}
	}
	view.Input = nil // who wants it has it from the run itself
	if len(view.Output) > maxInlineState {
		view.Output, view.OutputOmitted = nil, true
	}
	err := c.e.Log.Append(c.tx, event.Draft{
		Stream: StreamOfRun(r.ID), Type: "flowchart:run:updated", EntityKind: "flowchart_run", EntityID: strconv.FormatInt(r.ID, 10),
		Rooms: roomsOfRun(r), RequestID: r.RequestID, CorrelationID: r.CorrelationID,
		Payload: runPayload{FlowchartRun: view, StatusBefore: before, FlowchartRunID: r.ID, FlowchartID: r.FlowchartID, Status: r.Status},
	})
	if err != nil {
		return fmt.Errorf("announce run %d: %w", r.ID, err)
	}
	return nil
}

// NodePayload is what node:task:* events say of a node run.
type NodePayload struct {
	TaskID          int64           `json:"task_id"`
	Transition      string          `json:"transition"`
	Status          Status          `json:"status"`
	Kind            string          `json:"kind"`
	Title           string          `json:"title"`
	FlowchartID     *int64          `json:"flowchart_id"`
	FlowchartRunID  *int64          `json:"flowchart_run_id"`
	FlowchartNodeID string          `json:"flowchart_node_id"`
	ExecutionIndex  int32           `json:"execution_index"`
	Attempt         int32           `json:"attempt"`
	CurrentStage    *string         `json:"current_stage"`
	ExecutionMode   *string         `json:"execution_mode"`
	CreatedAt       time.Time       `json:"created_at"`
	QueuedAt        *time.Time      `json:"queued_at"`
	StartedAt       *time.Time      `json:"started_at"`
	FinishedAt      *time.Time      `json:"finished_at"`
	RunAfter        *time.Time      `json:"run_after,omitempty"`
	Error           json.RawMessage `json:"error,omitempty"`
	Usage           json.RawMessage `json:"usage,omitempty"`
	OutputState     json.RawMessage `json:"output_state,omitempty"`
	OutputOmitted   bool            `json:"output_omitted,omitempty"`
	OutputBytes     *int64          `json:"output_bytes,omitempty"`
	TerminalStatus  Status          `json:"terminal_status,omitempty"`
	Stages          json.RawMessage `json:"stages,omitempty"`
	ReusedFrom      *int64          `json:"reused_from,omitempty"`
	Cancellation    *Receipt        `json:"cancellation,omitempty"` // of a node run that was asked to stop
}

// PayloadOf describes a node run for an event.
func PayloadOf(n *NodeRun, transition string) NodePayload {
	p := NodePayload{
		TaskID: n.ID, Transition: transition, Status: n.Status, Kind: n.Kind, Title: n.Title,
		FlowchartID: n.FlowchartID, FlowchartRunID: n.FlowchartRunID, FlowchartNodeID: n.FlowchartNodeID,
		ExecutionIndex: n.ExecutionIndex, Attempt: n.Attempt, CurrentStage: n.CurrentStage, ExecutionMode: n.ExecutionMode,
		CreatedAt: n.CreatedAt, QueuedAt: n.QueuedAt, StartedAt: n.StartedAt, FinishedAt: n.FinishedAt,
		Error: n.Error, Usage: n.Usage, OutputState: n.OutputState,
		OutputOmitted: n.OutputBlob != nil, OutputBytes: n.OutputBytes, ReusedFrom: n.ReusedFrom,
	}
	if len(p.OutputState) > maxInlineState {
		p.OutputState, p.OutputOmitted = nil, true
	}
	if n.FinishedAt != nil {
		p.TerminalStatus = n.Status
	}
	if transition == "retrying" {
		p.RunAfter = &n.RunAfter
	}
	return p
}

// Runtime is the envelope's runtime block: exactly these keys.
type Runtime struct {
	SelectedProvider   string  `json:"selected_provider"`
	FinalProvider      string  `json:"final_provider"`
	ProviderDispatchID *string `json:"provider_dispatch_id"`
	WorkspaceIdentity  *string `json:"workspace_identity"`
	DispatchStatus     *string `json:"dispatch_status"`
	ExecutionMode      *string `json:"execution_mode"`
	FallbackAttempted  bool    `json:"fallback_attempted"`
	FallbackReason     *string `json:"fallback_reason"`
	DispatchUncertain  bool    `json:"dispatch_uncertain"`
	APIFailureCategory *string `json:"api_failure_category"`
	CLIFallbackUsed    bool    `json:"cli_fallback_used"`
	CLIPreflightPassed *bool   `json:"cli_preflight_passed"`
}

// RuntimeOf gives the runtime block of a node run; a is its newest attempt, or
// nil.
func RuntimeOf(n *NodeRun, a *Attempt, executor string) Runtime {
	r := Runtime{SelectedProvider: executor, FinalProvider: executor, ExecutionMode: n.ExecutionMode}
	if a != nil {
		r.SelectedProvider, r.FinalProvider = a.Executor, a.Executor
		r.ProviderDispatchID, r.DispatchStatus, r.DispatchUncertain = a.ProviderDispatchID, &a.DispatchStatus, a.DispatchUncertain
	}
	return r
}

func (c *nodeTx) announceNode(n *NodeRun, transition string) error {
	return c.e.announceNode(c.tx, n, nil, transition)
}

// announceNode appends that a node run's status changed; an end is a
// node:task:completed. Lists hear of a quick node by itself, of others by their run.
func (e *Engine) announceNode(tx *postgres.Tx, n *NodeRun, a *Attempt, transition string) error {
	return e.announce(tx, n, a, PayloadOf(n, transition))
}

func (e *Engine) announce(tx *postgres.Tx, n *NodeRun, a *Attempt, payload NodePayload) error {
	kind := "node:task:updated"
	if n.FinishedAt != nil {
		kind = "node:task:completed"
	}
	rooms := RoomsOfNode(n)
	if n.FlowchartRunID == nil {
		rooms = append(rooms, "studio")
	}
	err := e.Log.Append(tx, event.Draft{
		Stream: StreamOfNode(n), Type: kind, EntityKind: "task", EntityID: strconv.FormatInt(n.ID, 10),
		Rooms: rooms, RequestID: n.RequestID, CorrelationID: n.CorrelationID, Runtime: RuntimeOf(n, a, e.executorOf(n)), Payload: payload,
	})
	if err != nil {
		return fmt.Errorf("announce node run %d: %w", n.ID, err)
	}
	return nil
}

// announceStage appends how the stages of an attempt in a pod stand.
func (e *Engine) announceStage(tx *postgres.Tx, n *NodeRun, a *Attempt) error {
	p := PayloadOf(n, "stage")
	p.Stages = a.Stages
	err := e.Log.Append(tx, event.Draft{
		Stream: StreamOfNode(n), Type: "node:task:stage_updated", EntityKind: "task", EntityID: strconv.FormatInt(n.ID, 10),
		Rooms: RoomsOfNode(n), RequestID: n.RequestID, CorrelationID: n.CorrelationID, Runtime: RuntimeOf(n, a, a.Executor), Payload: p,
	})
	if err != nil {
		return fmt.Errorf("announce stage of node run %d: %w", n.ID, err)
	}
	return nil
}
