package server

import (
	"encoding/json"
	"time"

	"github.com/llmctl/studio/internal/flowchart/store"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/run"
)

// Flowchart is a flowchart as a model sees it.
type Flowchart struct {
	ID                int64     `json:"id"`
	Name              string    `json:"name"`
	Description       string    `json:"description"`
	Version           int32     `json:"version" jsonschema:"The current version; every saved graph is one"`
	Revision          int64     `json:"revision" jsonschema:"Changes with every edit; give it back to be sure that nobody else edited meanwhile"`
	NodeCount         int32     `json:"node_count"`
	MaxNodeExecutions *int32    `json:"max_node_executions"`
	MaxRuntimeMinutes *int32    `json:"max_runtime_minutes"`
	MaxParallelNodes  *int32    `json:"max_parallel_nodes"`
	LastRun           *LastRun  `json:"last_run"`
	UpdatedAt         time.Time `json:"updated_at"`
	Deleted           bool      `json:"deleted,omitempty"`
}

// LastRun is a flowchart's newest run.
type LastRun struct {
	ID     int64  `json:"id"`
	Status string `json:"status"`
}

func viewFlowchart(f *store.Flowchart) Flowchart {
	row := f.Flowchart
	v := Flowchart{
		ID: row.ID, Name: row.Name, Description: row.Description, Version: row.Version, Revision: row.Revision, NodeCount: f.NodeCount,
		MaxNodeExecutions: row.MaxNodeExecutions, MaxRuntimeMinutes: row.MaxRuntimeMinutes, MaxParallelNodes: row.MaxParallelNodes,
		UpdatedAt: row.UpdatedAt, Deleted: row.DeletedAt != nil,
	}
	if f.LastRunID != 0 {
		v.LastRun = &LastRun{ID: f.LastRunID, Status: f.LastRunStatus}
	}
	return v
}

// Run is a run in a list.
type Run struct {
	ID            int64      `json:"id"`
	FlowchartID   int64      `json:"flowchart_id"`
	FlowchartName string     `json:"flowchart_name"`
	Version       int32      `json:"version"`
	Status        string     `json:"status"`
	RetryOf       *int64     `json:"retry_of"`
	CreatedAt     time.Time  `json:"created_at"`
	StartedAt     *time.Time `json:"started_at"`
	FinishedAt    *time.Time `json:"finished_at"`
}

func viewRun(r *run.Run, name string) Run {
	return Run{
		ID: r.ID, FlowchartID: r.FlowchartID, FlowchartName: name, Version: r.Version, Status: r.Status, RetryOf: r.RetryOf,
		CreatedAt: r.CreatedAt, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt,
	}
}

// NodeRun is a node run in a list or in its run.
type NodeRun struct {
	ID              int64           `json:"id" jsonschema:"What the other tools call the node run's id"`
	FlowchartRunID  *int64          `json:"flowchart_run_id"`
	FlowchartNodeID string          `json:"flowchart_node_id" jsonschema:"Its id in the graph"`
	Kind            string          `json:"kind"`
	Title           string          `json:"title"`
	Status          string          `json:"status" jsonschema:"pending, queued, running, waiting, cancelling; or ended: succeeded, degraded, failed, cancelled, skipped"`
	Attempt         int32           `json:"attempt"`
	CurrentStage    *string         `json:"current_stage"`
	Error           json.RawMessage `json:"error"`
	StartedAt       *time.Time      `json:"started_at"`
	FinishedAt      *time.Time      `json:"finished_at"`
}

func viewNodeRun(n *run.NodeRun) NodeRun {
	return NodeRun{
		ID: n.ID, FlowchartRunID: n.FlowchartRunID, FlowchartNodeID: n.FlowchartNodeID, Kind: n.Kind, Title: n.Title, Status: n.Status,
		Attempt: n.Attempt, CurrentStage: n.CurrentStage, Error: orNull(n.Error), StartedAt: n.StartedAt, FinishedAt: n.FinishedAt,
	}
}

// Model is a model as task nodes name it.
type Model struct {
	ID           int64           `json:"id" jsonschema:"What a task node's model_id names"`
	Name         string          `json:"name"`
	Model        string          `json:"model" jsonschema:"The provider's name for it"`
	ProviderID   int64           `json:"provider_id"`
	ProviderName string          `json:"provider_name"`
	ProviderKind string          `json:"provider_kind"`
	Config       json.RawMessage `json:"config" jsonschema:"Defaults for params: temperature, max_tokens, ..."`
}

func viewModel(m *catalog.Model, provider, kind string) Model {
	return Model{ID: m.ID, Name: m.Name, Model: m.Model, ProviderID: m.ProviderID, ProviderName: provider, ProviderKind: kind, Config: orNull(m.Config)}
}
