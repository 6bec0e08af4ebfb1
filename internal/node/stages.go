package node

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/run"
)

// Stage is one stage of an attempt as stored.
type Stage struct {
	Key        string     `json:"key"`
	Status     string     `json:"status"` // running, succeeded, failed, skipped
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
	LogLines   int        `json:"log_lines"`
}

// StageView is a stage as the API shows it: with its label, and present whether
// or not the attempt came to it.
type StageView struct {
	Key        string     `json:"key"`
	Label      string     `json:"label"`
	Status     string     `json:"status"`
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
	LogLines   int        `json:"log_lines"`
}

// StageKeys lists the stages in order.
func StageKeys() []string {
	return []string{executor.StageIntegration, executor.StagePreInit, executor.StageInit, executor.StagePostInit, executor.StageLLMQuery, executor.StagePostRun}
}

// The kinds of nodes whose llm_query stage is named by their execution mode.
const (
	kindRAG      = "rag"
	kindRAGIndex = "rag_index"
)

// Label names a stage; only the label of llm_query depends on the execution
// mode, and only for nodes of retrieval.
func Label(key, kind string, mode *string) string {
	switch key {
	case executor.StageIntegration:
		return "Integration"
	case executor.StagePreInit:
		return "Pre Init"
	case executor.StageInit:
		return "Init"
	case executor.StagePostInit:
		return "Post Init"
	case executor.StagePostRun:
		return "Post Run"
	}
	if mode != nil && (kind == kindRAG || kind == kindRAGIndex) {
		switch *mode {
		case run.ModeIndexing:
			return "RAG Indexing"
		case run.ModeDeltaIndexing:
			return "RAG Delta Indexing"
		}
	}
	return "LLM Query"
}

// ViewStages shows the stages of an attempt of a node of this kind. Those it did not come to are
// pending while it runs and skipped afterwards.
func ViewStages(raw json.RawMessage, kind string, mode *string, finished bool) ([]StageView, error) {
	var stages []Stage
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &stages); err != nil {
			return nil, fmt.Errorf("read stages: %w", err)
		}
	}
	rest := "pending"
	if finished {
		rest = "skipped"
	}
	out := make([]StageView, 0, len(StageKeys()))
	for _, key := range StageKeys() {
		v := StageView{Key: key, Label: Label(key, kind, mode), Status: rest}
		for _, s := range stages {
			if s.Key == key {
				v.Status, v.StartedAt, v.FinishedAt, v.LogLines = s.Status, s.StartedAt, s.FinishedAt, s.LogLines
			}
		}
		out = append(out, v)
	}
	return out, nil
}
